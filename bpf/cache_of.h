/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Which slab cache owns an address: address -> struct page -> compound head -> slab_cache.
 *
 * All offsets come from the running kernel's BTF as -D numbers.  BTF does not have the address of
 * the array of struct page: user space learns it at the start (capture/slabs/walk.py) and writes it
 * to cpu_state.vmemmap.
 *
 * How a page of the slab allocator is recognised:
 *   up to 6.9   PG_slab in page->flags
 *   from 6.10   page->page_type (46df8e73a4a3, "mm: free up PG_slab"): first an inverted bit, later
 *               a type byte, 0xf5 (4ffca5a96678)
 * capture/kernel/features.py turns each into SLAB_TEST_{OFFSET,MASK,VALUE}.
 */
#pragma once

#include "kernel_memory.h"

/* One read covers all needed fields of a struct page: flags, compound_head, slab_cache, page_type. */
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
 * The head of a compound page, from the word of a tail page (bit 0 is set): the head's address plus 1.
 * In 7.x (page.compound_info) the word may instead be a mask to apply to the tail's own address, where
 * the kernel frees the struct pages of huge pages.  A mask is larger than the address of any struct
 * page, as long as it spans at most 4 GiB of them.
 */
static __always_inline u64 page_head(u64 page, u64 word)
{
#ifdef PAGE_COMPOUND_MASKED
	if (word >= 0xffffffff00000000ull)
		return page & word;
#endif
	return word - 1;
}

/* The struct kmem_cache that owns `ptr`; 0 if there is none, and then `flags` gets the reason. */
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
	if (!page.word[0]) /* the head of a large kmalloc has flags; unmapped memory reads as 0 */
		goto unknown;
	*flags |= SLAB_LARGE;
	return 0;
unknown:
	*flags |= SLAB_CACHE_UNKNOWN;
	return 0;
}
