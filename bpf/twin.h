/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Twins: two programs on one tracepoint, so that interruption loses nothing.
 *
 * From 6.1 the kernel skips a program for events that arrive while that program is active on the
 * CPU (recursion guard, 05b24ff9b2cf); softirqs free whole RCU batches in such moments.  A skipped
 * event still reaches the twin, which runs second.  So the first program leaves word of each event
 * it deals with, and a twin that finds no word of its event records it, marked SLAB_RECOVERED.
 *
 * The words form a stack per CPU.  Interrupts nest like calls: an event that arrives between a
 * program and its twin pushes and pops its own word before the twin goes on.  Only where a nested
 * event ran its first program, but had its twin skipped, a word stays behind; it lies above the
 * word of the twin that was interrupted, which looks below and drops it with its own.
 *
 * From 7.0 programs can be preempted: a task may go on to another CPU between its two programs, and its word
 * stays behind for good.  A later event of the same address, whose first program is skipped, must not take it for
 * its own and be lost.  So a word is good only until TWIN_FRESH others were left on its CPU.  A twin that comes
 * later still records its event a second time, which the analysis notices (duplicates.py).
 */
#pragma once

#define TWIN_LOOK_BELOW 3
#define TWIN_FRESH	16

/* Bits of TWINS: which tracepoints have twins attached, so that words are left for those only. */
#define TWINS_OF_FREES	1
#define TWINS_OF_ALLOCS 2

/* The kind is part of the word: a free must not pass for the allocation of its address. */
static __always_inline u64 twin_word(u64 ptr, u8 kind)
{
	return ptr ^ ((u64)kind << 56);
}

/* In a first program, before all else: this event is dealt with. */
static __always_inline void twin_push(struct cpu_state *state, u64 ptr, u8 kind)
{
	u64 count = state->words;

	state->word[count & (TWIN_WORDS - 1)] = twin_word(ptr, kind);
#ifdef PREEMPTIBLE
	state->stamp[count & (TWIN_WORDS - 1)] = state->pushed++;
#endif
	*(volatile u64 *)&state->words = count + 1;
}

static __always_inline bool twin_fresh(const struct cpu_state *state, u64 at)
{
#ifdef PREEMPTIBLE
	return state->pushed - state->stamp[at] <= TWIN_FRESH;
#else
	return true;
#endif
}

/* In a twin: has the first program dealt with this event? */
static __always_inline bool twin_pop(struct cpu_state *state, u64 ptr, u8 kind)
{
	u64 count = state->words;

#pragma unroll
	for (u64 below = 1; below <= TWIN_LOOK_BELOW; below++) {
		u64 at = (count - below) & (TWIN_WORDS - 1), *word = &state->word[at];

		if (*word == twin_word(ptr, kind) && twin_fresh(state, at)) {
			*word = 0; /* spent: a later event with this address must not find it again */
			*(volatile u64 *)&state->words = count - below;
			return true;
		}
	}
	return false;
}
