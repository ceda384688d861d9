/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Twins: two programs on one tracepoint, so that interruption loses nothing.
 *
 * From 6.1 the kernel skips a program for events that arrive while that program is active on the
 * CPU (recursion guard, 05b24ff9b2cf); softirqs free whole RCU batches in such moments.  A skipped
 * event still reaches the twin, which runs second.  The first program leaves the address it dealt
 * with in `seen`; a twin that finds its address there clears it and is done, any other twin
 * records the event itself, marked SLAB_RECOVERED.
 *
 * `seen` is hashed by address so that an event arriving between a program and its twin rarely
 * overwrites the mark.  If it does, the event is stored twice, which the pairing recognises; an
 * event is never taken for seen that was not, except where the same address left a stale mark:
 * the kernel's count of skipped runs less the recovered events would show that.
 */
#pragma once

static __always_inline u64 *seen_mark(struct cpu_state *state, u64 ptr)
{
	return &state->seen[(ptr >> 6) & 7];
}

/* The kind is part of the mark, so that a stale mark of an allocation cannot hide a free. */
static __always_inline u64 seen_value(u64 ptr, u8 kind)
{
	return ptr ^ ((u64)kind << 56);
}

/* In a first program, before all else: this event is mine. */
static __always_inline void seen_set(u64 ptr, u8 kind)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = cpu_states.lookup(&cpu);

	if (state)
		*seen_mark(state, ptr) = seen_value(ptr, kind);
}

/* In a twin: has the first program dealt with this event? */
static __always_inline bool seen_take(u64 ptr, u8 kind)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = cpu_states.lookup(&cpu);
	u64 *mark;

	if (!state)
		return true;
	mark = seen_mark(state, ptr);
	if (*mark != seen_value(ptr, kind))
		return false;
	*mark = 0;
	return true;
}
