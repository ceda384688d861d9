/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The event: one 64-byte slot of a ring, or the 24 bytes of a repeat (repeats.h), and the enums whose values
 * are stored in traces.
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
	SLAB_PERCPU_ALLOC = 0x05, /* ptr is a per-CPU pointer; bytes_alloc is of all CPUs */
	SLAB_PAGES_ALLOC = 0x06,  /* `cache` is 16 + order: 2^order pages (bpf/pages.h) */
	SLAB_VMALLOC = 0x07,	  /* ptr is an area's address */
	/* frees carry 0x10 */
	SLAB_KFREE = 0x11,
	SLAB_CACHE_FREE = 0x12,
	SLAB_BULK_FREE = 0x13,
	SLAB_NOLOCK_FREE = 0x14,
	SLAB_KFREE_RCU = 0x15,
	SLAB_PAGE_END = 0x16,	      /* the slab at ptr, bytes_alloc long, was given back */
	SLAB_WRONG_CACHE_FREE = 0x17, /* kmem_cache_free(s, x), where x is not of s */
	SLAB_PERCPU_FREE = 0x18,
	SLAB_PAGES_FREE = 0x19,
	SLAB_VFREE = 0x1a,
	/* what tasks and caches do, never stored in events; all carry 0x40 */
	SLAB_TASK_COMM = 0x40,	  /* a task's new name: the 16 bytes of ptr and call_site */
	SLAB_PROCESS_FORK = 0x41, /* these are a struct process_event */
	SLAB_PROCESS_EXEC = 0x42,
	SLAB_PROCESS_EXIT = 0x43,
	SLAB_PROCESS_MOVED = 0x44, /* to another cgroup */
	SLAB_CGROUP_MADE = 0x45,
	SLAB_CGROUP_GONE = 0x46,
	SLAB_TEXT = 0x47,      /* a struct text_event: a part of a text of the event before */
	SLAB_CACHE_END = 0x48, /* of the kmem_cache at ptr; from call_site on its name */
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

/* An event whose site (all of a slot but time, address and task) an earlier slot of its lane has, and whose
 * task an earlier slot of its CPU. */
struct repeat_event {
	u64 ts_ns;
	u64 ptr;
	u32 slot; /* which one: the lowest 32 bits of the lane's `head` when it was committed */
	u32 tid;
};

/* What a process does, or a cgroup, in a slot.  A text of it follows in slots of the same ts_ns and tid. */
struct process_event {
	u64 ts_ns;
	u64 cgroup; /* of the default hierarchy; what was moved, made or gone is of `hierarchy` */
	u32 hierarchy;
	u32 parent; /* its tgid */
	u32 pid_ns; /* the numbers of its namespaces, as in /proc/PID/ns */
	u32 net_ns;
	u64 unused[2];
	u32 tgid;
	u32 tid;
	u16 cpu;
	u16 unused_too;
	s16 node;
	u8 kind;
	u8 flags;
};

#define TEXT_BYTES 40

enum slab_text {
	SLAB_TEXT_EXE = 0x01,  /* the file that was executed, as it was named */
	SLAB_TEXT_ARGS = 0x02, /* its arguments, each with a 0 byte at its end */
	SLAB_TEXT_PATH = 0x03, /* of a cgroup */
};

struct text_event {
	u64 ts_ns;
	u8 text[TEXT_BYTES];
	u32 tgid;
	u32 tid;
	u16 cpu;
	u16 what;   /* enum slab_text */
	s16 length; /* of this part, up to TEXT_BYTES */
	u8 kind;
	u8 part; /* 0, 1, ... */
};
