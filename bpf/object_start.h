/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Does an object begin where something is freed?  Judged while the free happens, because only then
 * the slab can be looked at.
 *
 * Objects follow one another at multiples of the cache's `size` from the slab's first page, the first after
 * red_left_pad bytes (a debugged cache's).  A slab of 2^order pages lies at a multiple of its size, so
 * nearly every free is judged by four words of its kmem_cache alone, which the allocator has just
 * touched.  Where that says no, the slab is asked: it may have the cache's least order (memory was
 * short), or be a page of KFENCE's, which holds one object, anywhere (mm/kfence/core.c).
 */
#pragma once

#ifdef JUDGE_FREES
#define OO_SHIFT 16 /* kmem_cache.oo: the order above, the number of objects below */
#define OO_MASK	 0xffff

/* kmem_cache from `size` to `oo` */
struct cache_words {
	u64 word[CACHE_WORDS];
};

static __always_inline u32 cache_u32(const struct cache_words *cache, u32 offset)
{
	u64 word = cache->word[(offset - CACHE_FIRST) / 8];

	return (offset - CACHE_FIRST) % 8 ? word >> 32 : word;
}

/* Does an object begin `within` bytes into a slab of `objects` objects?  A division takes 10 ns: the
 * kernel keeps a factor for it (kmem_cache.reciprocal_size, include/linux/reciprocal_div.h). */
static __always_inline bool is_start(const struct cache_words *cache, u32 within, u32 objects)
{
	u64 factor = cache_u32(cache, CACHE_RECIPROCAL);
	u32 shifts = cache_u32(cache, CACHE_RECIPROCAL + 4);
	u32 high = within * factor >> 32;
	u32 index = (high + ((within - high) >> (shifts & 31))) >> (shifts >> 8 & 31);

	return index < objects && index * cache_u32(cache, CACHE_SIZE) == within;
}

/* The same by the slab itself.  True where it cannot be told. */
static __always_inline bool is_start_in_slab(u64 vmemmap, u64 address, u64 ptr,
					     const struct cache_words *cache)
{
	u64 head = vmemmap + (ptr >> PAGE_SHIFT) * SIZEOF_PAGE, word;
	struct page_words page;
	u32 red_left_pad = 0, objects;

	if (!vmemmap || !page_read(&page, head))
		return true;
	word = page.word[PAGE_COMPOUND_HEAD / 8];
	if (word & 1) {
		head = page_head(head, word);
		if (!page_read(&page, head))
			return true;
	}
	if ((page_u32(&page, SLAB_TEST_OFFSET) & SLAB_TEST_MASK) != SLAB_TEST_VALUE ||
	    page.word[SLAB_SLAB_CACHE / 8] != address)
		return true;
	objects = page.word[SLAB_COUNTERS / 8] >> 16 & 0x7fff; /* inuse:16, objects:15, frozen:1 */
	if (objects == 1 && (cache_u32(cache, CACHE_OO) & OO_MASK) > 1)
		return true; /* KFENCE's, or a slab of the least order: with one object, both look the same */
	bpf_probe_read_kernel(&red_left_pad, sizeof(red_left_pad),
			      (void *)(address + CACHE_RED_LEFT_PAD));
	ptr -= (head - vmemmap) / SIZEOF_PAGE << PAGE_SHIFT;
	return is_start(cache, ptr - red_left_pad, objects);
}

/* Is `ptr`, freed to `cache` (or to the pages of a large kmalloc, by `flags`), the start of an object? */
static __always_inline bool object_begins(u64 vmemmap, u64 cache, u64 ptr, u8 flags)
{
	struct cache_words words;
	u32 oo;

	if (flags & SLAB_LARGE)
		return !(ptr & (PAGE_SIZE - 1));
	if (!cache || !KERNEL_READ(&words, cache + CACHE_FIRST))
		return true;
	oo = cache_u32(&words, CACHE_OO);
	if (is_start(&words, ptr & ((PAGE_SIZE << (oo >> OO_SHIFT & 15)) - 1), oo & OO_MASK))
		return true;
	return is_start_in_slab(vmemmap, cache, ptr, &words);
}
#else
#define object_begins(vmemmap, cache, ptr, flags) true
#endif
