/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * A glob as a bit-parallel automaton, made by capture/programs/glob_automaton.py.  Bit i of the state
 * means that the first i elements have matched; step[c] has bit i if element i accepts the character c;
 * loop has the bits of the states in which a '*' stays.  The state begins as 1; the text matches if
 * its last word has the bit `accept` at the end.  A long glob has its bits in several words.
 */
#pragma once

#define GLOB_TABLE(glob, words)                                                                    \
	struct glob {                                                                              \
		u64 step[256 * (words)];                                                           \
		u64 loop[words];                                                                   \
		u64 accept;                                                                        \
	};                                                                                         \
	BPF_F_TABLE("array", u32, struct glob, glob, 1, 0)

/* The state after one more character, `step` being that of the character. */
static __always_inline void glob_take(u64 *state, const u64 *step, const u64 *loop, const u32 words)
{
	u64 carry = 0;

#pragma unroll
	for (u32 i = 0; i < words; i++) {
		u64 passed = state[i] & step[i];

		state[i] = passed << 1 | carry | (state[i] & loop[i]);
		carry = passed >> 63;
	}
}
