/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Does an object begin at an address that is freed?  Judged while the free happens, because the slab may
 * be gone later.
 *
 * Objects begin at multiples of the cache's `size` from the first byte of the slab (in a cache with red
 * zones after red_left_pad bytes).  A slab of 2^order pages begins at a multiple of its own size.  So four
 * words of the kmem_cache, which the allocator has just used, are enough to confirm nearly every free.  Where
 * they do not, the slab itself is read: it may have the cache's least order (memory was short), or be a
 * page of KFENCE, which has one object at any offset (mm/kfence/core.c).
 *
 * Example: a cache with size 192 and order 0, so 21 objects in a slab of 4,096 bytes.  The kernel's factor is
 * 0x55555556, a third of 2^32, and its shifts are 1 and 7.
 *
 *   within the slab   high   index   begins at   an object begins here?
 *       0               0      0          0      yes
 *     192              64      1        192      yes
 *     400             133      2        384      no: inside object 2
 *   3,840           1,280     20      3,840      yes, the last one
 *   4,032           1,344     21      4,032      no: the slab has only objects 0 to 20
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

/*
 * Does an object begin `within` bytes into a slab of `objects` objects?  That is: is `within` a multiple
 * of the size?  A division takes 10 ns, so this multiplies, as reciprocal_divide() of
 * include/linux/reciprocal_div.h does, with the factor and the two shifts that the kernel computed for
 * this size (kmem_cache.reciprocal_size): index = within / size.
 */
static __always_inline bool is_start(const struct cache_words *cache, u32 within, u32 objects)
{
	u64 factor = cache_u32(cache, CACHE_RECIPROCAL);
	u32 shifts = cache_u32(cache, CACHE_RECIPROCAL + 4);
	u32 high = within * factor >> 32;
	u32 index = (high + ((within - high) >> (shifts & 31))) >> (shifts >> 8 & 31);

	return index < objects && index * cache_u32(cache, CACHE_SIZE) == within;
}

/* The same, judged by the slab itself.  True where that is not known. */
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
		return true; /* KFENCE, or a slab of the least order: with one object both look the same */
	bpf_probe_read_kernel(&red_left_pad, sizeof(red_left_pad),
			      (void *)(address + CACHE_RED_LEFT_PAD));
	ptr -= (head - vmemmap) / SIZEOF_PAGE << PAGE_SHIFT;
	return is_start(cache, ptr - red_left_pad, objects);
}

/* Does an object begin at `ptr`, freed to `cache`?  With SLAB_LARGE in `flags` it is a large kmalloc. */
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
