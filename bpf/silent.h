/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The silent paths: allocations and frees that fire no kmem tracepoint.
 *
 * Seen by fentry and fexit programs where the kernel lets them attach (capture/silent.py), each
 * compiled only if this kernel has its function.  The arguments of the function stand in ctx as u64s,
 * in an fexit program followed by its return value.
 *
 * These programs run with migration, but not preemption, disabled: they use the lanes above NESTED_LANES.
 *
 * Bulk frees are seen at entry: the array is rewritten on the way.  Bulk allocations at exit: the
 * array is valid if the return value is not 0.  __kmem_cache_free_bulk is not watched: from 6.18
 * it flushes sheaves, which frees nothing.
 */
#pragma once

/*
 * Objects of one bulk call that are recorded: as many as the verifier, which walks every round of the
 * loop, takes in good time.  Only kfree_rcu's own batches are larger; kvfree_call_rcu has told of their
 * objects already.  More of any other call are counted as lost.
 */
#define BULK_MAX 64

/* An argument of the watched function.  Read, not loaded: before 6.19 the verifier lets a program
 * load no argument that points to anything but a struct. */
static __always_inline u64 argument(const u64 *ctx, u32 number)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + number);
	return value;
}

struct bulk {
	u64 array;
	u64 count;
	u64 cache; /* 0: kfree_bulk, each object's own */
	u64 call_site;
	u32 gfp_flags;
	u8 kind;
};

static __always_inline void record_bulk(void *ctx, const struct bulk *bulk)
{
	struct claim claim;
	u64 ptr;

#ifdef SILENT_kvfree_call_rcu
	if (bulk->count > BULK_MAX && !bulk->cache)
		return;
#endif
	if (!lane_enter_any(&claim, NESTED_LANES))
		return;
	for (u32 i = 0; i < BULK_MAX; i++) {
		struct seen_event seen = {
			.call_site = bulk->call_site,
			.cache = bulk->cache,
			.gfp_flags = bulk->gfp_flags,
			.kind = bulk->kind,
			.node = -1,
		};

		if (i >= bulk->count)
			break;
		if (bpf_probe_read_kernel(&ptr, sizeof(ptr), (void *)(bulk->array + i * 8)))
			break;
		seen.ptr = ptr;
		if (ptr > ZERO_SIZE_PTR)
			record_in_lane(ctx, &claim, &seen);
	}
	if (bulk->count > BULK_MAX)
		claim.lane->dropped += bulk->count - BULK_MAX;
	lane_leave_any(&claim);
}

static __always_inline void record_silent(void *ctx, struct seen_event *seen)
{
	struct claim claim;

	if (seen->ptr <= ZERO_SIZE_PTR || !lane_enter_any(&claim, NESTED_LANES))
		return;
	record_in_lane(ctx, &claim, seen);
	lane_leave_any(&claim);
}

/* The return address of the watched function: the word its caller pushed.  Known from the frame
 * on kernels that tell (bpf_get_func_ip is the function itself); here the stack's second frame. */
static __always_inline u64 caller_of(void *ctx)
{
	u64 frames[2] = {};

	bpf_get_stack(ctx, frames, sizeof(frames), 0);
	return frames[1];
}

#ifdef SILENT_kmem_cache_free_bulk
/* kmem_cache_free_bulk(s, size, p); kfree_bulk passes s == NULL */
int on_kmem_cache_free_bulk(u64 *ctx)
{
	struct bulk bulk = {
		.cache = argument(ctx, 0),
		.count = argument(ctx, 1),
		.array = argument(ctx, 2),
		.kind = SLAB_BULK_FREE,
	};

	bulk.call_site = caller_of(ctx);
	record_bulk(ctx, &bulk);
	return 0;
}
#endif

#ifdef SILENT_kmem_cache_alloc_bulk
/*
 * kmem_cache_alloc_bulk(s, flags, size, p).  Returns how many, as an int; in 7.x a bool, of which only
 * the lowest byte is meant.
 */
#ifdef BULK_ALLOC_RETURNS_BOOL
#define BULK_ALLOCATED(ctx) ((u8)argument(ctx, 4) ? argument(ctx, 2) : 0)
#else
#define BULK_ALLOCATED(ctx) ((u32)argument(ctx, 4))
#endif
int on_kmem_cache_alloc_bulk(u64 *ctx)
{
	struct bulk bulk = {
		.cache = argument(ctx, 0),
		.gfp_flags = argument(ctx, 1),
		.count = BULK_ALLOCATED(ctx),
		.array = argument(ctx, 3),
		.kind = SLAB_BULK_ALLOC,
	};

	bulk.call_site = caller_of(ctx);
	record_bulk(ctx, &bulk);
	return 0;
}
#endif

#ifdef SILENT_kvfree_call_rcu
/*
 * kvfree_call_rcu(head, ptr) from 6.4; kvfree_call_rcu(head, func) before, where func is the
 * offset of head in the object, or the object itself if head is NULL (04a522b7da3d).
 */
int on_kvfree_call_rcu(u64 *ctx)
{
	struct seen_event seen = {.kind = SLAB_KFREE_RCU, .node = -1};

#ifdef KVFREE_RCU_HAS_PTR
	seen.ptr = argument(ctx, 1);
#else
	seen.ptr = argument(ctx, 0) ? argument(ctx, 0) - argument(ctx, 1) : argument(ctx, 1);
#endif
	seen.call_site = caller_of(ctx);
	record_silent(ctx, &seen);
	return 0;
}
#endif

#ifdef SILENT_kmalloc_nolock
/* void *kmalloc_nolock(size, gfp_flags, node) */
int on_kmalloc_nolock(u64 *ctx)
{
	struct seen_event seen = {
		.kind = SLAB_NOLOCK_ALLOC,
		.bytes_req = argument(ctx, 0),
		.gfp_flags = argument(ctx, 1),
		.node = argument(ctx, 2),
		.ptr = argument(ctx, 3),
	};

	seen.call_site = caller_of(ctx);
	record_silent(ctx, &seen);
	return 0;
}
#endif

#ifdef SILENT_kfree_nolock
/* void kfree_nolock(ptr) */
int on_kfree_nolock(u64 *ctx)
{
	struct seen_event seen = {.kind = SLAB_NOLOCK_FREE, .ptr = argument(ctx, 0), .node = -1};

	seen.call_site = caller_of(ctx);
	record_silent(ctx, &seen);
	return 0;
}
#endif
