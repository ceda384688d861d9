/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The end of a slab page: when the allocator gives a slab back, every object on it was freed before,
 * seen or not.  mm_page_free fires for all pages; the ones that were slabs are told by a word that
 * __free_slab leaves alone: where struct slab's slab_cache does not share its place with page.mapping
 * (which is cleared), it still names the cache.
 */
#pragma once

#ifdef PAGE_END
int mm_page_free(struct bpf_raw_tracepoint_args *ctx)
{
	u64 page = ctx->args[0];
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
			.bytes_alloc = PAGE_SIZE << (ctx->args[1] & 31),
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
