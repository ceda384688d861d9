/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Stacks.  bpf_get_stackid keeps one stack per hash bucket, and refuses another stack of the same
 * hash with -EEXIST.  (It must not replace it: older events refer to it.)  A refused stack goes into
 * a second map without its innermost frame, which changes the hash, and if that refuses it too, into
 * a third without two.  These frames are not missed: user space begins every stack at the call site,
 * further out.  A stack that all three refuse is lost, and counted.
 */
#pragma once

#include "stack_budget.h"

#ifdef STACKS
#define SECOND_MAP 0x40000000
#define THIRD_MAP  0x20000000

/* Of 3,000 stacks in 16,384 buckets 270 go on, and of these 5; so the next map may be smaller. */
BPF_STACK_TRACE(stacks, STACK_BUCKETS);
BPF_STACK_TRACE(stacks2, STACK_BUCKETS / 2);
BPF_STACK_TRACE(stacks3, STACK_BUCKETS / 4);

static __always_inline s32 stack_taken(void *ctx, struct lane *lane)
{
	s32 id = stacks.get_stackid(ctx, 0);

	if (id >= 0)
		return id;
	id = stacks2.get_stackid(ctx, 1);
	if (id >= 0)
		return id | SECOND_MAP;
	id = stacks3.get_stackid(ctx, 2);
	if (id >= 0)
		return id | THIRD_MAP;
	/* atomically, because survivors.h takes stacks without taking the lane */
	__sync_fetch_and_add(&lane->stack_lost, 1);
	return id;
}

static __always_inline s32 stack_of(void *ctx, struct claim *claim, const struct slab_event *event)
{
#ifdef BUDGETED
	if (claim->state->no_stacks)
		return STACK_NOT_TAKEN;
#endif
#ifdef STACKS_AUTO
	if (!(event->flags & SLAB_INTERIOR) &&
	    !stack_due(claim->cpu, event->call_site, event->ts_ns))
		return STACK_NOT_TAKEN;
#endif
	return stack_taken(ctx, claim->lane);
}
#else
#define stack_of(ctx, claim, event) (-1)
#endif
