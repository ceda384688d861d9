// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The recorder's programs in parts: each part does what the part before it does, and one thing
 * more.  The file includes the real programs, so that the measured code is the code that runs.
 *
 *   empty    nothing: the kernel's own time to call a program (second: to call one more)
 *   lane     enter and leave this CPU's lane
 *   slot     + claim a slot, write to it, commit it
 *   clock    + read the clock
 *   fields   + the task and all other fields
 *   cache    + look up the slab cache of a kmalloc object: everything except the twins
 *
 * With twins, and with stacks, the programs of slab.c themselves are measured (parts.py).
 */
#include "../bpf/slab.c"

enum part { EMPTY, LANE, SLOT, CLOCK, FIELDS, CACHE };

static __always_inline void do_part(void *ctx, struct claim *claim, struct seen_event *seen,
				    enum part part)
{
	struct slab_event *slot;

	if (part == LANE)
		return;
	if (part == CACHE) {
		record_in_lane(ctx, claim, seen);
		return;
	}
	slot = slot_claim(claim);
	if (!slot)
		return;
	if (part == FIELDS)
		fill(slot, seen, claim->cpu);
	else
		slot->ts_ns = part == CLOCK ? bpf_ktime_get_ns() : seen->ptr;
	slot_commit(claim);
}

static __always_inline int run_part(void *ctx, struct seen_event *seen, enum part part)
{
	struct claim claim;

	if (part == EMPTY)
		return 0;
	if (!on_this_cpu(&claim))
		return 0;
	if (!lane_next(&claim))
		return 0;
	if (seen->ptr <= ZERO_SIZE_PTR)
		count_nothing(claim.lane, seen);
	else
		do_part(ctx, &claim, seen, part);
	lane_leave(&claim);
	return 0;
}

#define PART_PROGRAM(part, tracepoint, body, number)                                               \
	int part##_##tracepoint(struct bpf_raw_tracepoint_args *ctx)                               \
	{                                                                                          \
		struct seen_event seen = body;                                                     \
		return run_part(ctx, &seen, number);                                               \
	}

/* One part on the four tracepoints that every kernel has. */
#define PART(part, number)                                                                         \
	PART_PROGRAM(part, kmalloc, KMALLOC_EVENT(kmalloc, KMALLOC_NODE), number)                  \
	PART_PROGRAM(part, kmem_cache_alloc,                                                       \
		     CACHE_ALLOC_EVENT(kmem_cache_alloc, CACHE_ALLOC_NODE), number)                \
	PART_PROGRAM(part, kfree, KFREE_EVENT, number)                                             \
	PART_PROGRAM(part, kmem_cache_free, CACHE_FREE_EVENT, number)

PART(empty, EMPTY)
PART(second, EMPTY)
PART(lane, LANE)
PART(slot, SLOT)
PART(clock, CLOCK)
PART(fields, FIELDS)
PART(cache, CACHE)
