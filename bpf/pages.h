/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --pages: allocations and frees of pages, paired by address as objects of slabs are.
 *
 * A block of 2^order pages is one event here; user space makes an event of each page of it
 * (capture/stream/page_blocks.py), because the kernel may split a block and free its pages one by one.
 *
 * Left out: movable pages (of processes and of files), and what other events or slab caches account for:
 * slabs, large kmalloc, page cache, and with --percpu and --vmalloc their pages (LEFT_OUT, bits of
 * bpf/caller.h's kinds).  `page_rows` has a byte for each page of memory: whether its last allocation was
 * recorded.  So a free is recorded exactly if its allocation was, or would have been.
 */
#pragma once

#ifdef PAGE_MEMORY
/* The "cache" of pages of order 0; of order n so many more. */
#define PAGES_OF_ORDER 16
#define LARGEST_ORDER  10
#define GFP_MOVABLE    0x08 /* include/linux/gfp_types.h: ___GFP_MOVABLE */
#define PAGE_OLDER     0    /* allocated before the recording */
#define PAGE_RECORDED  1
#define PAGE_LEFT_OUT  2
#define PAGE_ROW       4096
#define PAGE_ROW_SHIFT 12
#define LARGEST_BLOCK  (1 << LARGEST_ORDER)

struct page_row {
	u8 state[PAGE_ROW + LARGEST_BLOCK + 8]; /* for the verifier: a block never crosses a row */
};
BPF_F_TABLE("array", u32, struct page_row, page_rows, PAGE_ROWS, 0);

/* By CPU and kind of bpf/caller.h: allocations that were left out, and their pages; at TEXT_OTHER frees. */
struct left_out {
	u64 events;
	u64 pages;
};
BPF_F_TABLE("array", u32, struct left_out, left_out, NR_CPUS *TEXT_KINDS, BPF_F_MMAPABLE);

static __always_inline u8 *page_state(u64 ptr)
{
	u32 index = ptr >> (PAGE_SHIFT + PAGE_ROW_SHIFT) & (PAGE_ROWS - 1);
	struct page_row *row = page_rows.lookup(&index);

	return row ? &row->state[ptr >> PAGE_SHIFT & (PAGE_ROW - 1)] : NULL;
}

static __always_inline void pages_mark(u64 ptr, u32 order, u8 state)
{
	u64 eight = state * 0x0101010101010101ull;
	u8 *at = page_state(ptr);

	if (!at)
		return;
	if (order == 0)
		*at = state;
	else if (order == 1)
		*(volatile u16 *)at = eight;
	else if (order == 2)
		*(volatile u32 *)at = eight;
	else {
#pragma clang loop unroll(disable)
		for (u32 i = 0; i < LARGEST_BLOCK / 8; i++) {
			if (i >= 1u << ((order - 3) & 7))
				break;
			*(volatile u64 *)(at + 8 * i) = eight;
		}
	}
}

static __always_inline void count_left_out(const struct claim *claim, u8 what, u32 order)
{
	u32 index = claim->cpu * TEXT_KINDS + (what & (TEXT_KINDS - 1));
	struct left_out *counted = left_out.lookup(&index);

	if (!counted)
		return;
	__sync_fetch_and_add(&counted->events, 1);
	__sync_fetch_and_add(&counted->pages, 1ull << order);
}

static __always_inline u32 order_of(const struct seen_event *seen)
{
	u32 order = seen->cache - PAGES_OF_ORDER;

	return order > LARGEST_ORDER ? LARGEST_ORDER : order;
}

static __always_inline bool pages_alloc_wanted(void *ctx, struct claim *claim,
					       struct seen_event *seen)
{
	u32 order = order_of(seen);
	u8 what = seen->gfp_flags & GFP_MOVABLE ? TEXT_USER : find_caller(ctx, &seen->call_site);
	bool refused = LEFT_OUT & 1 << what;

	if (refused)
		count_left_out(claim, what, order);
	else
		refused = !alloc_wanted(seen->ptr, 0, (u64)PAGE_SIZE << order);
	pages_mark(seen->ptr, order, refused ? PAGE_LEFT_OUT : PAGE_RECORDED);
	return !refused;
}

/* Was a page from before the recording one of a process or a file?  Only these are ever up to date. */
static __always_inline bool page_has_content(const struct claim *claim, u64 ptr)
{
	u64 flags = 0, page = claim->state->vmemmap + (ptr >> PAGE_SHIFT) * SIZEOF_PAGE;

	bpf_probe_read_kernel(&flags, sizeof(flags), (void *)page);
	return flags >> PG_UPTODATE & 1;
}

static __always_inline bool pages_free_wanted(void *ctx, struct claim *claim,
					      struct seen_event *seen)
{
	u8 *at = page_state(seen->ptr), what, state = at ? *at : PAGE_OLDER;

	if (state == PAGE_LEFT_OUT || (state == PAGE_OLDER && page_has_content(claim, seen->ptr)))
		goto refused;
	what = find_caller(ctx, &seen->call_site);
	if (state == PAGE_RECORDED)
		return true;
#ifndef FILTER_BY_ALLOCATION
	if (!(LEFT_OUT & 1 << what))
		return true;
#endif
refused:
	count_left_out(claim, TEXT_OTHER, order_of(seen));
	return false;
}

static __always_inline bool pages_wanted(void *ctx, struct claim *claim, struct seen_event *seen)
{
	return seen->kind & 0x10 ? pages_free_wanted(ctx, claim, seen)
				 : pages_alloc_wanted(ctx, claim, seen);
}

/* The address of a struct page's memory in the direct map; 0 for no page. */
static __always_inline u64 page_address_of(u64 page)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct cpu_state *state = cpu_states.lookup(&cpu);

	return page && state ? (page - state->vmemmap) / SIZEOF_PAGE << PAGE_SHIFT : 0;
}
#endif
