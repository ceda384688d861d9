/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The end of a slab cache.  The kernel calls slab_kmem_cache_release(s) when nothing is left in the cache, and
 * before the struct kmem_cache is freed: so events that name its address are of this cache until then, and
 * of another one later.  What the programs know of the cache at this address is forgotten at once; user
 * space learns of it in the order of events (capture/storing/site_numbers.py).
 */
#pragma once

#ifdef SILENT_cache_end
int on_cache_end(u64 *ctx)
{
	u64 cache = argument(ctx, 0);
	struct slab_event *slot;
	struct claim claim;

#if defined(FILTER_CACHE) || defined(PAGE_END)
	known_caches.delete(&cache);
#endif
	if (!lane_enter_any(&claim, NESTED_LANES))
		return 0;
	slot = slot_claim(&claim);
	if (slot) {
		slot->ts_ns = bpf_ktime_get_ns();
		slot->ptr = cache;
		slot->kind = SLAB_CACHE_END;
		slot->cpu = claim.cpu;
		slot_commit(&claim);
	}
	lane_leave_any(&claim);
	return 0;
}
#endif
