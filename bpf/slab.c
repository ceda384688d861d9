// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The programs: one raw tracepoint program per kmem slab tracepoint, and its twin.
 *
 * Configured by -D numbers alone (capture/kernel/features.py, capture/options.py).  ARG_<tracepoint>_<name>
 * is the index of an argument on the running kernel; it is not defined where the kernel has no such
 * argument.  capture/kernel/features.py lists the kernel changes behind that.
 */
/* An argument of a tracepoint: capture/kernel/arguments.py found its position by its type. */
#define ARG(tracepoint, name) ctx->args[ARG_##tracepoint##_##name]

#include "event.h"
#include "ring.h"
#include "sample.h"
#include "cache_of.h"
#include "object_start.h"
#include "filter.h"
#include "stack.h"
#include "twin.h"
#include "task.h"
#ifdef PROCESSES
#include "process.h"
#endif
#include "peek.h"
#include "percpu.h"

#define ZERO_SIZE_PTR 16

/* The arguments of a tracepoint, before they are put into a slot. */
struct seen_event {
	u64 ptr;
	u64 call_site;
	u64 cache;
	u64 bytes_req;
	u64 bytes_alloc;
	u32 gfp_flags;
	s16 node;
	u8 kind;
	u8 flags;
};

static __always_inline u32 clamp_u32(u64 bytes)
{
	return bytes > 0xffffffff ? 0xffffffff : bytes;
}

static __always_inline void fill(struct slab_event *event, const struct seen_event *seen, u32 cpu)
{
	u64 task = bpf_get_current_pid_tgid();

	event->ts_ns = bpf_ktime_get_ns();
	event->ptr = seen->ptr;
	event->call_site = seen->call_site;
	event->cache = seen->cache;
	event->bytes_req = clamp_u32(seen->bytes_req);
	event->bytes_alloc = clamp_u32(seen->bytes_alloc);
	event->gfp_flags = seen->gfp_flags;
	event->tgid = task >> 32;
	event->tid = task;
	event->cpu = cpu;
	event->node = seen->node;
	event->kind = seen->kind;
	event->flags = seen->flags;
	event->reserved = 0;
}

/* Is it of a slab, or a large kmalloc?  Other memory has no cache, and no object begins there. */
static __always_inline bool has_cache(u8 kind)
{
	return !(kind >= SLAB_PERCPU_ALLOC && kind <= SLAB_VMALLOC) &&
	       !(kind >= SLAB_PERCPU_FREE && kind <= SLAB_VFREE);
}

#include "repeats.h"
#include "counted.h"
#include "live_table.h"

static __always_inline bool wanted(const struct seen_event *seen)
{
	if (seen->kind & 0x10)
		return free_wanted(seen->ptr, seen->cache);
#ifdef FILTER_SIZE
	if (!seen->bytes_req && seen->cache) {
		u32 object_size = 0;

		bpf_probe_read_kernel(&object_size, sizeof(object_size),
				      (void *)(seen->cache + CACHE_OBJECT_SIZE));
		return alloc_wanted(seen->ptr, seen->cache, object_size);
	}
#endif
	return alloc_wanted(seen->ptr, seen->cache, seen->bytes_req);
}

#include "caller.h"
#include "pages.h"
#include "vmalloc.h"

/* As `wanted`, of a tracepoint of any allocator; the call site is found where the tracepoint lacks it. */
static __always_inline bool wanted_any(void *ctx, struct claim *claim, struct seen_event *seen)
{
#ifdef PAGE_MEMORY
	if (seen->kind == SLAB_PAGES_ALLOC || seen->kind == SLAB_PAGES_FREE)
		return pages_wanted(ctx, claim, seen);
#endif
#ifdef VMALLOC_MEMORY
	if (seen->kind == SLAB_VMALLOC || seen->kind == SLAB_VFREE)
		return vmalloc_wanted(ctx, seen);
#endif
	return wanted(seen);
}

/* Put an event into the lane that is taken: as a repeat, or into a slot. */
static __always_inline void put_in_lane(struct claim *claim, const struct slab_event *event)
{
	struct slab_event *slot;

	if (repeat(claim, event))
		return;
	slot = slot_claim(claim);
	if (!slot)
		return;
	*slot = *event;
	remember(claim, event);
	slot_commit(claim);
}

static __always_inline void record_in_lane(void *ctx, struct claim *claim, struct seen_event *seen)
{
	struct slab_event event;

	if (!seen->cache && has_cache(seen->kind))
		seen->cache = cache_of(claim->state->vmemmap, seen->ptr, &seen->flags);
	if (!wanted_any(ctx, claim, seen)) {
		claim->lane->filtered++;
		return;
	}
	if (seen->kind & 0x10 && has_cache(seen->kind) &&
	    !object_begins(claim->state->vmemmap, seen->cache, seen->ptr, seen->flags))
		seen->flags |= SLAB_INTERIOR;
	fill(&event, seen, claim->cpu);
	event.stack_id = stack_of(ctx, claim, &event);
	put_in_lane(claim, &event);
}

/* An event without an object: a failed allocation, or a free of nothing. */
static __always_inline void count_nothing(struct lane *lane, const struct seen_event *seen)
{
	if (seen->kind & 0x10)
		lane->null_frees++;
	else
		lane->failed_allocs++;
}

#include "survivors.h"

static __always_inline void record_any(void *ctx, struct claim *claim, struct seen_event *seen)
{
	if (survivor(ctx, claim, seen) || !lane_next(claim))
		return;
	if (seen->flags & SLAB_RECOVERED) /* even if it is not stored then: it was not missed */
		claim->lane->recovered++;
	if (seen->ptr <= ZERO_SIZE_PTR)
		count_nothing(claim->lane, seen);
	else
		record_in_lane(ctx, claim, seen);
	lane_leave(claim);
}

static __always_inline int record(void *ctx, struct seen_event *seen)
{
	struct claim claim;

	if (!on_this_cpu_or_lost(&claim, 1) || !sampled(claim.state, seen->ptr))
		return 0;
	if (TWINS & (seen->kind & 0x10 ? TWINS_OF_FREES : TWINS_OF_ALLOCS))
		twin_push(claim.state, seen->ptr, seen->kind);
	record_any(ctx, &claim, seen);
	return 0;
}

static __always_inline int record_if_missed(void *ctx, struct seen_event *seen)
{
	struct claim claim;
	u64 receipts;

	if (!on_this_cpu(&claim) || !sampled(claim.state, seen->ptr) ||
	    twin_pop(claim.state, seen->ptr, seen->kind))
		return 0;
	receipts = claim.state->receipts;
	seen->flags |= SLAB_RECOVERED;
	record_any(ctx, &claim, seen);
	/* remove receipts of events nested in this twin: it was skipped for them, being active */
	*(volatile u64 *)&claim.state->receipts = receipts;
	return 0;
}

#include "silent.h"
#include "cache_end.h"
#include "page_end.h"

/* Two programs with the same body: NAME and NAME_twin. */
#define SLAB_PROGRAM(name, body)                                                                   \
	int name(struct bpf_raw_tracepoint_args *ctx)                                              \
	{                                                                                          \
		struct seen_event seen = body;                                                     \
		return record(ctx, &seen);                                                         \
	}                                                                                          \
	int name##_twin(struct bpf_raw_tracepoint_args *ctx)                                       \
	{                                                                                          \
		struct seen_event seen = body;                                                     \
		return record_if_missed(ctx, &seen);                                               \
	}

/* kmalloc has the argument node from 6.1 on (11e9734bcb6a, "mm/slab_common: unify NUMA and UMA
 * version of tracepoints"); the same change removed kmalloc_node. */
#ifdef ARG_kmalloc_node
#define KMALLOC_NODE ARG(kmalloc, node)
#else
#define KMALLOC_NODE -1
#endif
#define KMALLOC_EVENT(tracepoint, the_node)                                                        \
	{                                                                                          \
		.kind = SLAB_KMALLOC,                                                              \
		.ptr = ARG(tracepoint, ptr),                                                       \
		.call_site = ARG(tracepoint, call_site),                                           \
		.bytes_req = ARG(tracepoint, bytes_req),                                           \
		.bytes_alloc = ARG(tracepoint, bytes_alloc),                                       \
		.gfp_flags = ARG(tracepoint, gfp_flags),                                           \
		.node = the_node,                                                                  \
	}
SLAB_PROGRAM(kmalloc, KMALLOC_EVENT(kmalloc, KMALLOC_NODE))
#ifdef ARG_kmalloc_node_ptr
SLAB_PROGRAM(kmalloc_node, KMALLOC_EVENT(kmalloc_node, ARG(kmalloc_node, node)))
#endif

/* kmem_cache_alloc: from 6.1 on (the same change) it has the kmem_cache instead of the sizes.  User
 * space fills in the sizes, object_size and size, from the kmem_cache. */
#ifdef ARG_kmem_cache_alloc_cache
#define CACHE_ALLOC_EVENT(tracepoint, the_node)                                                    \
	{                                                                                          \
		.kind = SLAB_CACHE_ALLOC,                                                          \
		.ptr = ARG(tracepoint, ptr),                                                       \
		.call_site = ARG(tracepoint, call_site),                                           \
		.cache = ARG(tracepoint, cache),                                                   \
		.gfp_flags = ARG(tracepoint, gfp_flags),                                           \
		.node = the_node,                                                                  \
	}
#define CACHE_ALLOC_NODE ARG(kmem_cache_alloc, node)
#else
#define CACHE_ALLOC_EVENT(tracepoint, the_node)                                                    \
	{                                                                                          \
		.kind = SLAB_CACHE_ALLOC,                                                          \
		.ptr = ARG(tracepoint, ptr),                                                       \
		.call_site = ARG(tracepoint, call_site),                                           \
		.bytes_req = ARG(tracepoint, bytes_req),                                           \
		.bytes_alloc = ARG(tracepoint, bytes_alloc),                                       \
		.gfp_flags = ARG(tracepoint, gfp_flags),                                           \
		.node = the_node,                                                                  \
	}
#define CACHE_ALLOC_NODE -1
#endif
SLAB_PROGRAM(kmem_cache_alloc, CACHE_ALLOC_EVENT(kmem_cache_alloc, CACHE_ALLOC_NODE))
#ifdef ARG_kmem_cache_alloc_node_ptr
SLAB_PROGRAM(kmem_cache_alloc_node,
	     CACHE_ALLOC_EVENT(kmem_cache_alloc_node, ARG(kmem_cache_alloc_node, node)))
#endif

#define KFREE_EVENT                                                                                \
	{                                                                                          \
		.kind = SLAB_KFREE,                                                                \
		.ptr = ARG(kfree, ptr),                                                            \
		.call_site = ARG(kfree, call_site),                                                \
		.node = -1,                                                                        \
	}
SLAB_PROGRAM(kfree, KFREE_EVENT)

/* kmem_cache_free has the kmem_cache from 6.1 on (2c1d697fb8ba); before, cache_of() finds it. */
#ifdef ARG_kmem_cache_free_cache
#define CACHE_FREE_CACHE ARG(kmem_cache_free, cache)
#else
#define CACHE_FREE_CACHE 0
#endif
#define CACHE_FREE_EVENT                                                                           \
	{                                                                                          \
		.kind = SLAB_CACHE_FREE,                                                           \
		.ptr = ARG(kmem_cache_free, ptr),                                                  \
		.call_site = ARG(kmem_cache_free, call_site),                                      \
		.cache = CACHE_FREE_CACHE,                                                         \
		.node = -1,                                                                        \
	}
SLAB_PROGRAM(kmem_cache_free, CACHE_FREE_EVENT)
#include "percpu_memory.h"
#include "page_memory.h"
