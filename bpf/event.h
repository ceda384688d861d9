/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The event: one 64-byte slot of a ring, and the enums whose values are stored in traces.
 *
 * This is the only definition.  slabtrace/capture/programs/layout.py derives its dtype from this text, and
 * tests compare sizes, offsets and enum values with slabtrace/trace/format/schema.py.
 */
#pragma once

enum slab_event_kind {
	SLAB_KMALLOC = 0x01,
	SLAB_CACHE_ALLOC = 0x02,
	SLAB_BULK_ALLOC = 0x03,
	SLAB_NOLOCK_ALLOC = 0x04,
	/* frees carry 0x10 */
	SLAB_KFREE = 0x11,
	SLAB_CACHE_FREE = 0x12,
	SLAB_BULK_FREE = 0x13,
	SLAB_NOLOCK_FREE = 0x14,
	SLAB_KFREE_RCU = 0x15,
	SLAB_PAGE_END = 0x16,	      /* the slab at ptr, bytes_alloc long, was given back */
	SLAB_WRONG_CACHE_FREE = 0x17, /* kmem_cache_free(s, x), where x is not of s */
	/* never stored in events: a task's new name, the 16 bytes of ptr and call_site */
	SLAB_TASK_COMM = 0x40,
};

enum slab_event_flag {
	SLAB_RECOVERED = 0x01,
	SLAB_LARGE = 0x02,
	SLAB_CACHE_UNKNOWN = 0x04,
	SLAB_INTERIOR = 0x08, /* of a free: no object begins there */
	SLAB_COARSE = 0x10,   /* set by the consumer: one site for all bytes_req and stacks */
};

struct slab_event {
	u64 ts_ns;
	u64 ptr;
	u64 call_site;
	u64 cache;
	u32 bytes_req;
	u32 bytes_alloc;
	u32 gfp_flags;
	s32 stack_id;
	u32 tgid;
	u32 tid;
	u16 cpu;
	u16 reserved; /* node, kind and flags, which make a site, have the upper half of this word */
	s16 node;
	u8 kind;
	u8 flags;
};
