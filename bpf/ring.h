/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The rings: per possible CPU, LANES single-producer lanes, shared with user space.  A lane has two rings: one
 * of slots, and one of repeats, which are events that refer to a slot (repeats.h).
 *
 * A lane belongs to one depth of interruption.  The program that runs in task context writes
 * lane 0; one that interrupts it on the same CPU writes lane 1, and so on: task, softirq, hard
 * irq, NMI.  Because interrupts nest like calls, a lane has one writer at a time, and a plain
 * store of `head` after the slot commits it.  This takes no atomic instruction, so it works on
 * 5.10, which has no BPF atomics that return a value.
 *
 * `depth` is not zero while a program runs.  A reader that sees zero after it read the clock
 * knows that all later events carry later times: this is the watermark.
 *
 * Programs that can be preempted do not nest like calls: fentry and fexit programs (silent.h) on
 * every kernel, and all programs where SRCU guards tracepoints (PREEMPTIBLE: 7.0, a46023d5616e).
 * They leave `depth` alone, and take a lane by an atomic exchange of its `busy` word.
 *
 * Counters are per lane, because `counter++` is not atomic: an interrupting program has another
 * lane, and so another counter.  A lane is two cache lines; what is seldom counted is in the second one.
 */
#pragma once

#define NESTED_LANES 4
#define LANES	     8

struct lane {
	u64 head;	   /* slots ever committed */
	u64 repeats;	   /* repeats ever committed */
	u64 filtered;	   /* events the filters refused */
	u64 null_frees;	   /* kfree(NULL), kfree(ZERO_SIZE_PTR): nothing was freed */
	u64 failed_allocs; /* allocations that returned NULL */
	u64 recovered;	   /* events that a twin recorded because its program was skipped */
	u64 unused[2];
	u64 dropped;	/* events lost: the ring was full */
	u64 stack_lost; /* stacks that neither map could keep */
	u64 bulk_rest;	/* events lost: objects of one bulk call beyond BULK_MAX (silent.h) */
	u64 unused_too[5];
};

#define TWIN_RECEIPTS 8

struct cpu_state {
	u64 depth;	 /* programs running on this CPU right now */
	u64 too_deep;	 /* events lost: no lane left */
	u64 vmemmap;	 /* address of the struct page of address 0, see cache_of.h; 0: not known */
	u64 receipts;	 /* used of the stack below */
	u64 pushed;	 /* receipts ever left */
	u64 sample_mask; /* by user space: sample.h */
	u64 no_stacks;	 /* by user space: take none from now on (--budget) */
	u64 without_ring; /* of CPU 0: events lost on CPUs that have no ring (capture/sizing.py) */
	u64 busy[LANES];
	u64 receipt[TWIN_RECEIPTS]; /* by twin.h: events that first programs have seen */
	u64 stamp[TWIN_RECEIPTS];   /* how many receipts had been left before that one */
	/* written by user space only, cache lines apart: how far it has read */
	u64 tail[LANES];
	u64 repeats_tail[LANES];
	struct lane lane[LANES];
};

/* Lane 0 has TASK_SLOTS, each of the others IRQ_SLOTS; both are powers of two.  Of repeats there are more. */
#define SLOTS_PER_CPU (TASK_SLOTS + (LANES - 1) * IRQ_SLOTS)
#define REPEATS	      2 /* for each slot */

BPF_F_TABLE("array", u32, struct cpu_state, cpu_states, NR_CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct slab_event, slots, NR_CPUS *SLOTS_PER_CPU, BPF_F_MMAPABLE);
#ifndef SURVIVORS
BPF_F_TABLE("array", u32, struct repeat_event, repeats, NR_CPUS * SLOTS_PER_CPU * REPEATS,
	    BPF_F_MMAPABLE);
#endif

struct claim {
	struct cpu_state *state;
	struct lane *lane;
	u64 number; /* of the lane: below NESTED_LANES a depth, from there on a shared lane */
	u32 cpu;
};

/* Find this CPU's state, before all else.  False on a CPU without a ring. */
static __always_inline bool on_this_cpu(struct claim *claim)
{
	claim->cpu = bpf_get_smp_processor_id();
	claim->state = cpu_states.lookup(&claim->cpu);
	return claim->state;
}

/* As on_this_cpu(), for so many events.  Those of a CPU without a ring are lost, and counted. */
static __always_inline bool on_this_cpu_or_lost(struct claim *claim, u64 events)
{
	struct cpu_state *first;
	u32 zero = 0;

	if (on_this_cpu(claim))
		return true;
	first = cpu_states.lookup(&zero);
	if (first)
		__sync_fetch_and_add(&first->without_ring, events);
	return false;
}

/* Before 5.12 BPF has no atomics that return a value.  A plain load and store does there: on the
 * kernels that distributions build, these programs cannot be preempted either. */
static __always_inline bool lane_take(u64 *busy)
{
#ifdef NO_ATOMICS
	bool free = !*busy;

	*(volatile u64 *)busy = 1;
	return free;
#else
	return !__sync_lock_test_and_set(busy, 1);
#endif
}

/* For a program that can be preempted: take one of this CPU's lanes, from number `first` on.
 * False: the event is lost, and counted. */
static __always_inline bool lane_take_any(struct claim *claim, u32 first)
{
#pragma unroll
	for (u32 i = 0; i < LANES; i++) {
		if (i >= first && lane_take(&claim->state->busy[i])) {
			claim->number = i;
			claim->lane = &claim->state->lane[i];
			return true;
		}
	}
	__sync_fetch_and_add(&claim->state->too_deep, 1);
	return false;
}

static __always_inline bool lane_enter_any(struct claim *claim, u32 first)
{
	return on_this_cpu(claim) && lane_take_any(claim, first);
}

static __always_inline void lane_leave_any(struct claim *claim)
{
	barrier();
	*(volatile u64 *)&claim->state->busy[claim->number & (LANES - 1)] = 0;
}

#ifdef PREEMPTIBLE
static __always_inline bool lane_next(struct claim *claim)
{
	return lane_take_any(claim, 0);
}

static __always_inline void lane_leave(struct claim *claim)
{
	lane_leave_any(claim);
}
#else
/* Take the next lane of this CPU.  False: the event is lost, and counted. */
static __always_inline bool lane_next(struct claim *claim)
{
	claim->number = claim->state->depth;
	if (claim->number >= NESTED_LANES) {
		__sync_fetch_and_add(&claim->state->too_deep, 1);
		return false;
	}
	*(volatile u64 *)&claim->state->depth = claim->number + 1;
	claim->lane = &claim->state->lane[claim->number & (NESTED_LANES - 1)];
	barrier();
	return true;
}

static __always_inline void lane_leave(struct claim *claim)
{
	barrier();
	*(volatile u64 *)&claim->state->depth = claim->number;
}
#endif

static __always_inline bool lane_enter(struct claim *claim)
{
	return on_this_cpu(claim) && lane_next(claim);
}

static __always_inline u64 slots_of(const struct claim *claim)
{
	return claim->number ? IRQ_SLOTS : TASK_SLOTS;
}

/* The index of a lane's first slot. */
static __always_inline u32 first_slot(const struct claim *claim)
{
	u32 base = claim->number ? TASK_SLOTS + (claim->number - 1) * IRQ_SLOTS : 0;

	return claim->cpu * SLOTS_PER_CPU + base;
}

/* The slot to fill.  NULL where the reader is a whole ring behind: the event is lost, and counted. */
static __always_inline struct slab_event *slot_claim(struct claim *claim)
{
	u64 size = slots_of(claim), head = claim->lane->head;
	u32 index;

	if (head - claim->state->tail[claim->number & (LANES - 1)] >= size) {
		claim->lane->dropped++;
		return NULL;
	}
	index = first_slot(claim) + (head & (size - 1));
	return slots.lookup(&index);
}

static __always_inline void slot_commit(struct claim *claim)
{
	barrier();
	*(volatile u64 *)&claim->lane->head = claim->lane->head + 1;
}
