/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Which slab cache owns an address: address -> struct page -> compound head -> slab_cache.
 *
 * All offsets come from the running kernel's BTF as -D numbers.  The one thing BTF does not
 * know, where the array of struct page begins, is learnt at start (capture/slab_walk.py) and
 * stands in cpu_state.vmemmap.
 *
 * Whether a page belongs to the slab allocator at all:
 *   PG_slab in page->flags up to 6.9; page->page_type from 6.10 (46df8e73a4a3, "mm: free up
 *   PG_slab"), inverted bits first, a type byte 0xf5 later (4ffca5a96678).
 * capture/kernel.py turns either into SLAB_TEST_{OFFSET,MASK,VALUE}.
 */
#pragma once

/* One read covers all we need of a struct page: flags, compound_head / slab_cache, page_type. */
struct page_words {
	u64 word[PAGE_WORDS];
};

static __always_inline u32 page_u32(const struct page_words *page, u32 offset)
{
	u64 word = page->word[offset / 8];

	return offset % 8 ? word >> 32 : word;
}

static __always_inline bool page_read(struct page_words *page, u64 address)
{
	return bpf_probe_read_kernel(page, sizeof(*page), (void *)address) == 0;
}

/* The struct kmem_cache that owns `ptr`, or 0; then `flags` says why. */
static __always_inline u64 cache_of(u64 vmemmap, u64 ptr, u8 *flags)
{
	struct page_words page;
	u64 head;

	if (!vmemmap || !page_read(&page, vmemmap + (ptr >> PAGE_SHIFT) * SIZEOF_PAGE))
		goto unknown;
	head = page.word[PAGE_COMPOUND_HEAD / 8];
	if ((head & 1) && !page_read(&page, head - 1))
		goto unknown;
	if ((page_u32(&page, SLAB_TEST_OFFSET) & SLAB_TEST_MASK) == SLAB_TEST_VALUE)
		return page.word[SLAB_SLAB_CACHE / 8];
	*flags |= SLAB_LARGE;
	return 0;
unknown:
	*flags |= SLAB_CACHE_UNKNOWN;
	return 0;
}
