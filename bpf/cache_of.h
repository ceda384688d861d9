/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Which slab cache owns an address: address -> struct page -> compound head -> slab_cache.
 *
 * All offsets come from the running kernel's BTF as -D numbers.  The one thing BTF does not
 * know, where the array of struct page begins, is learnt at start (capture/slabs/walk.py) and
 * stands in cpu_state.vmemmap.
 *
 * Whether a page belongs to the slab allocator at all:
 *   PG_slab in page->flags up to 6.9; page->page_type from 6.10 (46df8e73a4a3, "mm: free up
 *   PG_slab"), inverted bits first, a type byte 0xf5 later (4ffca5a96678).
 * capture/kernel/features.py turns either into SLAB_TEST_{OFFSET,MASK,VALUE}.
 */
#pragma once

#include "kernel_memory.h"

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
	return KERNEL_READ(page, address);
}

/*
 * The head of a compound page, from a tail's word (bit 0 set): the head's address plus 1.
 * In 7.x (page.compound_info) it may be a mask for the tail's own address instead, where the kernel
 * optimises the memory of huge pages away; a mask of up to 4 GiB of struct pages lies above all of them.
 */
static __always_inline u64 page_head(u64 page, u64 word)
{
#ifdef PAGE_COMPOUND_MASKED
	if (word >= 0xffffffff00000000ull)
		return page & word;
#endif
	return word - 1;
}

/* The struct kmem_cache that owns `ptr`, or 0; then `flags` says why. */
static __always_inline u64 cache_of(u64 vmemmap, u64 ptr, u8 *flags)
{
	u64 address = vmemmap + (ptr >> PAGE_SHIFT) * SIZEOF_PAGE;
	struct page_words page;
	u64 word;

	if (!vmemmap || !page_read(&page, address))
		goto unknown;
	word = page.word[PAGE_COMPOUND_HEAD / 8];
	if ((word & 1) && !page_read(&page, page_head(address, word)))
		goto unknown;
	if ((page_u32(&page, SLAB_TEST_OFFSET) & SLAB_TEST_MASK) == SLAB_TEST_VALUE)
		return page.word[SLAB_SLAB_CACHE / 8];
	if (!page.word[0]) /* the head of a large kmalloc has flags; nothing mapped reads as 0 */
		goto unknown;
	*flags |= SLAB_LARGE;
	return 0;
unknown:
	*flags |= SLAB_CACHE_UNKNOWN;
	return 0;
}
