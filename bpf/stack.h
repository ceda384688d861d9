/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Stacks.  bpf_get_stackid keeps one stack per hash bucket; another stack with the same hash is
 * refused with -EEXIST (and must not replace it: older events point there).  So a refused stack
 * goes to a second map with its innermost frame left out, which changes the hash; user space puts
 * the missing frame back, since it is the allocator function that every stack of the tracepoint
 * shares.  Only a stack that both maps refuse is lost, and counted.
 */
#pragma once

#ifdef STACKS
#define SECOND_MAP 0x40000000

BPF_STACK_TRACE(stacks, STACK_BUCKETS);
BPF_STACK_TRACE(stacks2, STACK_BUCKETS);

static __always_inline s32 stack_of(void *ctx, struct lane *lane)
{
	s32 id = stacks.get_stackid(ctx, 0);

	if (id >= 0)
		return id;
	id = stacks2.get_stackid(ctx, 1);
	if (id >= 0)
		return id | SECOND_MAP;
	lane->stack_lost++;
	return id;
}
#else
#define stack_of(ctx, lane) (-1)
#endif
