/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* --pages, --vmalloc: the programs.  What they record is decided in pages.h and vmalloc.h. */
#pragma once

#ifdef PAGE_MEMORY
#define PAGES_EVENT(tracepoint, the_kind, the_gfp)                                                 \
	{                                                                                          \
		.kind = the_kind,                                                                  \
		.ptr = page_address_of(ARG(tracepoint, page)),                                     \
		.cache = PAGES_OF_ORDER + (u32)ARG(tracepoint, order),                             \
		.bytes_req = PAGE_SIZE,                                                            \
		.bytes_alloc = PAGE_SIZE,                                                          \
		.gfp_flags = the_gfp,                                                              \
		.node = -1,                                                                        \
	}
SLAB_PROGRAM(pages_alloc,
	     PAGES_EVENT(mm_page_alloc, SLAB_PAGES_ALLOC, ARG(mm_page_alloc, gfp_flags)))
SLAB_PROGRAM(pages_free, PAGES_EVENT(mm_page_free, SLAB_PAGES_FREE, 0))
#endif

#ifdef VMALLOC_MEMORY
/* A failed allocation has no address. */
#define VMALLOC_EVENT                                                                              \
	{                                                                                          \
		.kind = SLAB_VMALLOC,                                                              \
		.ptr = ARG(alloc_vmap_area, failed) & 1 ? 0 : ARG(alloc_vmap_area, addr),          \
		.bytes_req = ARG(alloc_vmap_area, size) - PAGE_SIZE,                               \
		.bytes_alloc = ARG(alloc_vmap_area, size) - PAGE_SIZE,                             \
		.node = -1,                                                                        \
	}
SLAB_PROGRAM(vmalloc_area, VMALLOC_EVENT)

#define VFREE_EVENT                                                                                \
	{                                                                                          \
		.kind = SLAB_VFREE,                                                                \
		.ptr = ARG(free_vmap_area_noflush, addr),                                          \
		.node = -1,                                                                        \
	}
SLAB_PROGRAM(vfree_area, VFREE_EVENT)
#endif
