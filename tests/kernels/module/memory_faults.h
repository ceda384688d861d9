/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Faults with memory that is of no slab: pages, per-CPU memory, areas of vmalloc.  A part of
 * slabtrace_faults.c, which has the rules.
 */
#include <linux/gfp.h>
#include <linux/percpu.h>
#include <linux/vmalloc.h>

#define BLOCK_ORDER 1
#define SPLIT_ORDER 2
#define AREA	    (3 * PAGE_SIZE)

static noinline void leak_pages(int count)
{
	while (count--)
		(void)!alloc_pages(GFP_KERNEL, BLOCK_ORDER);
}

static noinline void leak_percpu(int count)
{
	while (count--)
		(void)!(__force void *)__alloc_percpu(SMALL, sizeof(void *));
}

static noinline void leak_vmalloc(int count)
{
	while (count--)
		(void)!vmalloc(AREA);
}

static noinline void free_pages_whole(int count)
{
	while (count--)
		free_pages(__get_free_pages(GFP_KERNEL, BLOCK_ORDER), BLOCK_ORDER);
}

/* The kernel splits the block, and frees its pages one by one. */
static noinline void free_pages_split(int count)
{
	struct page *block;
	int i;

	while (count--) {
		block = alloc_pages(GFP_KERNEL, SPLIT_ORDER);
		if (!block)
			return;
		split_page(block, SPLIT_ORDER);
		for (i = 0; i < 1 << SPLIT_ORDER; i++)
			__free_page(block + i);
	}
}

/* All but the last page of each block. */
static noinline void leak_of_split(int count)
{
	struct page *block;
	int i;

	while (count--) {
		block = alloc_pages(GFP_KERNEL, SPLIT_ORDER);
		if (!block)
			return;
		split_page(block, SPLIT_ORDER);
		for (i = 0; i < (1 << SPLIT_ORDER) - 1; i++)
			__free_page(block + i);
	}
}

static noinline void free_vmalloc(int count)
{
	while (count--)
		vfree(vmalloc(AREA));
}

static noinline void free_percpu_memory(int count)
{
	while (count--)
		free_percpu(__alloc_percpu(SMALL, sizeof(void *)));
}

#define MEMORY_FAULTS                                                                              \
	FAULT(leak_pages), FAULT(leak_percpu), FAULT(leak_vmalloc), FAULT(leak_of_split),          \
		FAULT(free_pages_whole), FAULT(free_pages_split), FAULT(free_vmalloc),             \
		FAULT(free_percpu_memory)
