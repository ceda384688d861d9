/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --mode survivors: decides for each tracepoint event whether it is sent to user space.
 *
 * An event that is not sent changes the live table or the counts; it takes no lane of the rings.  All
 * others are sent as in --mode events.
 */
#pragma once

#ifdef SURVIVORS
static __always_inline bool survivor_alloc(void *ctx, struct claim *claim, struct seen_event *seen)
{
	struct slab_event event;

	if (!seen->cache && has_cache(seen->kind))
		seen->cache = cache_of(claim->state->vmemmap, seen->ptr, &seen->flags);
	if (!wanted_any(ctx, claim, seen))
		return false;
	fill(&event, seen, claim->cpu);
	claim->lane =
		&claim->state
			 ->lane[0]; /* for its counters only; stack_lost is added to atomically */
	event.stack_id = stack_of(ctx, claim, &event);
	return keep(claim, &event);
}

/* True if nothing is left to be done for the event. */
static __always_inline bool survivor(void *ctx, struct claim *claim, struct seen_event *seen)
{
	bool done = false;

	if (seen->ptr > ZERO_SIZE_PTR)
		done = seen->kind & 0x10 ? drop(claim, seen->ptr, seen->cache)
					 : survivor_alloc(ctx, claim, seen);
	if (done && seen->flags & SLAB_RECOVERED)
		__sync_fetch_and_add(&claim->state->lane[0].recovered, 1);
	return done;
}
#else
#define survivor(ctx, claim, seen) false
#endif
