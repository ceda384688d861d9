/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Twins: two programs on one tracepoint, so that an event that the kernel skips for one is not lost.
 *
 * From 6.1 the kernel skips a program for an event that arrives while this program is active on the CPU
 * (recursion guard, 05b24ff9b2cf).  The event still reaches the twin, which runs second.  So the program
 * leaves a receipt for each event that it gets, and a twin that finds no receipt of its event records it,
 * with SLAB_RECOVERED.
 *
 * Receipts form a stack per CPU, because interrupts nest like calls: an event that arrives between a program
 * and its twin pushes its receipt and pops it before the twin goes on.  If the twin of that event is
 * skipped, its receipt stays on top.  So a twin looks below the top too, and removes what lies above its own.
 *
 * From 7.0 programs can be preempted.  A task may go on to another CPU between its two programs; its receipt
 * stays behind, and its twin records the event once more (the analysis drops that record: duplicates.py).
 * A later event at the same address must not take this old receipt for its own.  So a receipt is good only
 * until TWIN_FRESH receipts, itself included, were left on its CPU.  docs/twins.md has the proof.
 *
 * Example: four frees on one CPU, two of them in interrupts.
 *
 *   call             receipts   outcome
 *   program, A       A          interrupted before it records A
 *     program, B     A          skipped: it is active for A
 *     twin, B        A          no receipt of B: B recorded, SLAB_RECOVERED
 *   twin, A          none       A recorded meanwhile, receipt found
 *   program, C       C          C recorded; its twin is interrupted as it begins
 *     program, D     C D        D recorded
 *     twin, D        C D        skipped: it is active for C
 *   twin, C          none       receipt found below D's, and D's removed with it
 */
#pragma once

#define TWIN_LOOK_BELOW 3
#define TWIN_FRESH	16

/* Bits of TWINS: which tracepoints have twins attached; receipts are left for those only. */
#define TWINS_OF_FREES	1
#define TWINS_OF_ALLOCS 2

/* The kind is part of the receipt: a free must not be taken for the allocation of its address. */
static __always_inline u64 twin_receipt(u64 ptr, u8 kind)
{
	return ptr ^ ((u64)kind << 56);
}

/* In a first program, before all else: this event has been seen. */
static __always_inline void twin_push(struct cpu_state *state, u64 ptr, u8 kind)
{
	u64 count = state->receipts;

	state->receipt[count & (TWIN_RECEIPTS - 1)] = twin_receipt(ptr, kind);
#ifdef PREEMPTIBLE
	state->stamp[count & (TWIN_RECEIPTS - 1)] = state->pushed++;
#endif
	*(volatile u64 *)&state->receipts = count + 1;
}

static __always_inline bool twin_fresh(const struct cpu_state *state, u64 at)
{
#ifdef PREEMPTIBLE
	return state->pushed - state->stamp[at] <= TWIN_FRESH;
#else
	return true;
#endif
}

/* In a twin: did the first program see this event? */
static __always_inline bool twin_pop(struct cpu_state *state, u64 ptr, u8 kind)
{
	u64 count = state->receipts;

#pragma unroll
	for (u64 below = 1; below <= TWIN_LOOK_BELOW; below++) {
		u64 at = (count - below) & (TWIN_RECEIPTS - 1), *receipt = &state->receipt[at];

		if (*receipt == twin_receipt(ptr, kind) && twin_fresh(state, at)) {
			*receipt = 0; /* a later event at this address must not find it again */
			*(volatile u64 *)&state->receipts = count - below;
			return true;
		}
	}
	return false;
}
