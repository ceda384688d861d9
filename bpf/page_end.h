/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The end of a slab: when the allocator gives a slab back to the page allocator, every object on it has
 * been freed, whether the frees were seen or not.
 *
 * mm_page_free fires for every page.  A page that was a slab is recognised by its slab_cache word: it still
 * has the address of the kmem_cache, because __free_slab() does not clear it.  It does clear page.mapping, so
 * PAGE_END is defined only where the two words are at different offsets (6.12 on).
 */
#pragma once

#ifdef PAGE_END
int mm_page_free(struct bpf_raw_tracepoint_args *ctx)
{
	u64 page = ARG(mm_page_free, page);
	struct claim claim;
	struct slab_event *slot;
	u64 cache = 0;
	u8 *wanted;

	if (bpf_probe_read_kernel(&cache, sizeof(cache), (void *)(page + SLAB_SLAB_CACHE)))
		return 0;
	wanted = known_caches.lookup(&cache);
	if (!wanted || !*wanted || !lane_enter(&claim))
		return 0;
	slot = claim.state->vmemmap ? slot_claim(&claim) : NULL;
	if (slot) {
		struct seen_event seen = {
			.ptr = (page - claim.state->vmemmap) / SIZEOF_PAGE << PAGE_SHIFT,
			.cache = cache,
			.bytes_alloc = PAGE_SIZE << (ARG(mm_page_free, order) & 31),
			.node = -1,
			.kind = SLAB_PAGE_END,
		};

		fill(slot, &seen, claim.cpu);
		slot->stack_id = -1;
		slot_commit(&claim);
	}
	lane_leave(&claim);
	return 0;
}
#endif
