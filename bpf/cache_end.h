/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The end of a slab cache.  The kernel calls slab_kmem_cache_release(s) when nothing is left in the cache, and
 * before the struct kmem_cache is freed: so events that name its address are of this cache until then, and
 * of another one later.  What the programs know of the cache at this address is forgotten at once; user
 * space learns of it in the order of events (capture/storing/site_numbers.py), with the name: a cache may have
 * lived too shortly to be read in memory.
 */
#pragma once

#ifdef SILENT_cache_end
#define CACHE_NAME_BYTES 40 /* from call_site to tid */

int on_cache_end(u64 *ctx)
{
	u64 cache = argument(ctx, 0);
	struct slab_event *slot;
	struct claim claim;
	u64 name = 0;

#if defined(FILTER_CACHE) || defined(PAGE_END)
	known_caches.delete(&cache);
#endif
	if (!lane_enter_any(&claim, NESTED_LANES))
		return 0;
	slot = slot_claim(&claim);
	if (slot) {
		slot->ts_ns = bpf_ktime_get_ns();
		slot->ptr = cache;
		bpf_probe_read_kernel(&name, sizeof(name), (void *)(cache + CACHE_NAME));
		bpf_probe_read_kernel_str(&slot->call_site, CACHE_NAME_BYTES, (void *)name);
		slot->kind = SLAB_CACHE_END;
		slot->cpu = claim.cpu;
		slot_commit(&claim);
	}
	lane_leave_any(&claim);
	return 0;
}
#endif
