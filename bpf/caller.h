/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Who called an allocator whose tracepoint does not say it (--pages, --vmalloc): the first function of the
 * stack, from the innermost out, that is none of the allocator's own.
 *
 * User space marks the allocator's functions in `marked_text`, a byte for each 16 bytes of the kernel's text
 * (capture/programs/marked_text.py).  Functions begin at multiples of 16 or, with small alignment, near them.
 * Modules are outside of the map: they are callers.
 *
 * Example: the stack of a page of a slab.  The first frames are those of tracing itself.
 *
 *   bpf_trace_run4, __bpf_trace_mm_page_alloc    not marked, and nothing was yet: skipped
 *   __alloc_pages, alloc_pages_mpol              TEXT_PAGES
 *   alloc_slab_page, new_slab, ___slab_alloc     TEXT_SLAB: what the pages are for
 *   kmem_cache_alloc                             not marked: the call site
 */
#pragma once

#if defined(PAGE_MEMORY) || defined(VMALLOC_MEMORY)
/* No function is marked TEXT_USER: it stands for movable pages, which are of processes and of files. */
#define TEXT_OTHER	0
#define TEXT_PAGES	1 /* the page allocator, and what hands its pages on as they are */
#define TEXT_SLAB	2
#define TEXT_LARGE	3 /* kmalloc of whole pages */
#define TEXT_PAGE_CACHE 4
#define TEXT_VMALLOC	5
#define TEXT_PERCPU	6
#define TEXT_USER	7
#define TEXT_KINDS	8

#define TEXT_ROW   4096
#define TEXT_SHIFT 4
#define FRAMES	   14 /* about 4 of tracing, and up to 7 of the allocators */

struct text_row {
	u8 kind[TEXT_ROW];
};
BPF_F_TABLE("array", u32, struct text_row, marked_text, TEXT_ROWS, 0);

static __always_inline u8 text_kind(u64 address)
{
	u64 place = (address - TEXT_FIRST) >> TEXT_SHIFT;
	struct text_row *row;
	u32 index;

	if (place >= (u64)TEXT_ROWS * TEXT_ROW)
		return TEXT_OTHER;
	index = place / TEXT_ROW;
	row = marked_text.lookup(&index);
	return row ? row->kind[place % TEXT_ROW] : TEXT_OTHER;
}

/* The caller, 0 if it is further out, and what the innermost marked functions beside TEXT_PAGES are. */
static __always_inline u8 find_caller(void *ctx, u64 *call_site)
{
	u64 frames[FRAMES] = {};
	bool within = false;
	u8 what = TEXT_OTHER;

	bpf_get_stack(ctx, frames, sizeof(frames), 0);
#pragma unroll
	for (int i = 0; i < FRAMES; i++) {
		u8 kind = text_kind(frames[i]);

		if (!kind && within) {
			*call_site = frames[i];
			break;
		}
		within |= kind != TEXT_OTHER;
		if (what <= TEXT_PAGES)
			what = kind;
	}
	return what;
}
#endif
