/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The silent paths: allocations and frees that fire no kmem tracepoint.
 *
 * fentry and fexit programs trace them where the kernel permits (capture/programs/silent_paths.py); each is
 * compiled only if this kernel has its function.  ctx has the arguments of the function as u64s, and in
 * an fexit program its return value after them.
 *
 * These programs run with migration disabled but preemption enabled, so they use the shared lanes, from
 * NESTED_LANES on.  They have no twins: while a task is preempted inside one of them, the kernel skips
 * this program for all other tasks on that CPU.
 *
 * Bulk frees are traced at entry, because the function overwrites the array; bulk allocations at exit,
 * because only then the array is valid (if the return value is not 0).  __kmem_cache_free_bulk is
 * not traced: from 6.18 on it flushes sheaves, which frees nothing.
 *
 * FUNCTION_<path> is the address of the traced function.  OUTER_<path> and SIZE_<path> are the place of a
 * wrapper between it and the true caller: 0 where there is none, or the kernel hides its address.
 */
#pragma once

/*
 * At most so many objects of one bulk call are recorded: the verifier walks every round of the loop, and
 * more rounds take it too long.  Only the batches of kfree_rcu are larger, and on_kvfree_call_rcu has
 * recorded their objects before.  The rest of any other call is counted as lost.
 */
#define BULK_MAX 64

/* An argument of the traced function.  Read by a helper, because before 6.19 the verifier refuses to load
 * an argument that points to something other than a struct. */
static __always_inline u64 argument(const u64 *ctx, u32 number)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), ctx + number);
	return value;
}

/*
 * The call site: the return address that the traced function's caller pushed.  The trampoline that runs
 * this program has, on its stack above the function's arguments, the return value (for a program at the
 * exit), its frame pointer, and one or two return addresses.  If the function called the trampoline,
 * from its first instructions, the first one is in the function and the second in its caller.  In 7.x a
 * function traced at its exit jumps to the trampoline, and there is only the second one.
 *
 * Example: the words above the arguments on x86-64; `function` is where the traced function begins.
 *
 *   word   at entry        at exit         at exit, 7.x
 *   0      frame pointer   return value    return value
 *   1      function + 9    frame pointer   frame pointer
 *   2      CALL SITE       function + 9    CALL SITE
 *   3                      CALL SITE
 *
 * So the call site is the word after the one in the function, or word 2 if there is none.
 */
#define ENTRY_SPAN 16 /* endbr64 and a call of 5 bytes, with room */
#define FRAMES	   12

static __always_inline u64 frame_after(const u64 *frames, u64 begin, u64 size)
{
#pragma unroll
	for (u32 i = 1; i < FRAMES; i++) {
		if (frames[i - 1] - begin < size)
			return frames[i];
	}
	return 0;
}

static __always_inline u64 caller_of(void *ctx, u64 function, u32 arguments)
{
#ifdef TRAMPOLINE_OF_X86
	u64 word[5] = {};

	bpf_probe_read_kernel(word, sizeof(word), ctx + 8 * arguments);
#pragma unroll
	for (u32 i = 1; i < 4; i++) {
		if (word[i] - function < ENTRY_SPAN)
			return word[i + 1];
	}
	return word[2];
#else
	u64 frames[FRAMES] = {};

	bpf_get_stack(ctx, frames, sizeof(frames), 0);
	return frame_after(frames, function, ENTRY_SPAN);
#endif
}

/* The caller of a wrapper, of `size` bytes at `outer`, that called the traced function; 0 if it did not. */
static __always_inline u64 caller_through(void *ctx, u64 outer, u64 size)
{
	u64 frames[FRAMES] = {};

	bpf_get_stack(ctx, frames, sizeof(frames), 0);
	return size ? frame_after(frames, outer, size) : 0;
}

struct bulk {
	u64 array;
	u64 count;
	u64 cache; /* 0: kfree_bulk, each object has its own */
	u64 call_site;
	u32 gfp_flags;
	u8 kind;
};

/* Fill in what all objects of a bulk call share, once.  False: the call is not wanted. */
static __always_inline bool bulk_begins(void *ctx, const struct bulk *bulk, struct claim *claim,
					struct slab_event *event)
{
	struct seen_event seen = {
		.call_site = bulk->call_site,
		.cache = bulk->cache,
		.gfp_flags = bulk->gfp_flags,
		.kind = bulk->kind,
		.node = -1,
	};
	u64 number;

	bpf_probe_read_kernel(&seen.ptr, sizeof(seen.ptr), (void *)bulk->array);
	if (!(bulk->kind & 0x10) && !wanted(&seen)) {
		claim->lane->filtered += bulk->count;
		return false;
	}
	fill(event, &seen, claim->cpu);
	event->stack_id = stack_of(ctx, claim, event);
	/*
	 * The verifier knows which lane each path through lane_take_any() took, and would walk the
	 * loop of record_bulk() once for each.  A number that a helper wrote is unknown to it, so the
	 * paths become equal here, and it walks the loop once; the masks give it the bounds.
	 */
	bpf_probe_read_kernel(&number, sizeof(number), &claim->number);
	claim->number = NESTED_LANES + (number & (LANES - NESTED_LANES - 1));
	claim->lane = &claim->state->lane[claim->number & (LANES - 1)];
	return true;
}

/* Complete the slot of one object of a bulk call, which has its address.  False: it is not wanted. */
static __always_inline bool bulk_object(const struct claim *claim, struct slab_event *slot,
					bool free)
{
	if (!sampled(claim->state, slot->ptr))
		return false;
	if (!slot->cache)
		slot->cache = cache_of(claim->state->vmemmap, slot->ptr, &slot->flags);
#ifdef FILTER_BY_ALLOCATION
	if (!free) {
		u8 *mark = kept_mark(slot->ptr);

		if (mark)
			*mark = 1;
	}
#endif
	if (free && !free_wanted(slot->ptr, slot->cache)) {
		claim->lane->filtered++;
		return false;
	}
	return slot->ptr > ZERO_SIZE_PTR;
}

static __always_inline void record_bulk(void *ctx, const struct bulk *bulk)
{
	struct slab_event event, *slot;
	struct claim claim;
	u32 i = 0;

#ifdef SILENT_kvfree_call_rcu
	if (bulk->count > BULK_MAX && !bulk->cache)
		return;
#endif
	if (!bulk->count || !on_this_cpu_or_lost(&claim, bulk->count))
		return;
	if (!lane_take_any(&claim, NESTED_LANES)) {
		__sync_fetch_and_add(&claim.state->too_deep, bulk->count - 1);
		return;
	}
	if (bulk_begins(ctx, bulk, &claim, &event)) {
		for (; i < BULK_MAX && i < bulk->count; i++) {
			slot = slot_claim(&claim); /* if there is no room, this object is counted */
			if (!slot)
				break;
			*slot = event;
			bpf_probe_read_kernel(&slot->ptr, sizeof(slot->ptr),
					      (void *)(bulk->array + i * 8));
			if (bulk_object(&claim, slot, bulk->kind & 0x10))
				slot_commit(&claim);
		}
		if (i < BULK_MAX && i < bulk->count)
			claim.lane->dropped += bulk->count - i - 1; /* the ring is full */
		else
			claim.lane->bulk_rest += bulk->count - i;
	}
	lane_leave_any(&claim);
}

static __always_inline void record_silent(void *ctx, struct seen_event *seen)
{
	struct claim claim;

	if (seen->ptr <= ZERO_SIZE_PTR || !on_this_cpu_or_lost(&claim, 1) ||
	    !sampled(claim.state, seen->ptr) || !lane_take_any(&claim, NESTED_LANES))
		return;
	if (seen->kind & 0x10)
		send_object_of(&claim, seen->ptr);
	record_in_lane(ctx, &claim, seen);
	lane_leave_any(&claim);
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

	bulk.call_site = caller_of(ctx, FUNCTION_kmem_cache_free_bulk, 3);
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

	bulk.call_site = caller_of(ctx, FUNCTION_kmem_cache_alloc_bulk, 4);
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
	seen.call_site = caller_of(ctx, FUNCTION_kvfree_call_rcu, 2);
	record_silent(ctx, &seen);
	return 0;
}
#endif

#ifdef SILENT_kfree_call_rcu_nolock
/* kfree_call_rcu_nolock(head, ptr), 7.x: kfree_rcu where no lock may be taken.  It may pass the object on
 * to kvfree_call_rcu later, so it has a kind of its own (analysis/pairing/duplicates.py). */
int on_kfree_call_rcu_nolock(u64 *ctx)
{
	struct seen_event seen = {.kind = SLAB_NOLOCK_FREE, .ptr = argument(ctx, 1), .node = -1};

	seen.call_site = caller_of(ctx, FUNCTION_kfree_call_rcu_nolock, 2);
	record_silent(ctx, &seen);
	return 0;
}
#endif

#ifdef SILENT_kmalloc_nolock
/*
 * void *kmalloc_nolock(size, gfp_flags, node).  In 7.x it is a wrapper of __kmalloc_nolock_noprof(…,
 * context), which has NOLOCK_ARGUMENTS arguments and other callers too; that one is traced.
 */
int on_kmalloc_nolock(u64 *ctx)
{
	struct seen_event seen = {
		.kind = SLAB_NOLOCK_ALLOC,
		.bytes_req = argument(ctx, 0),
		.gfp_flags = argument(ctx, 1),
		.node = argument(ctx, 2),
		.ptr = argument(ctx, NOLOCK_ARGUMENTS),
	};

	seen.call_site = caller_through(ctx, OUTER_kmalloc_nolock, SIZE_kmalloc_nolock);
	if (!seen.call_site)
		seen.call_site = caller_of(ctx, FUNCTION_kmalloc_nolock, NOLOCK_ARGUMENTS);
	record_silent(ctx, &seen);
	return 0;
}
#endif

#ifdef SILENT_kfree_nolock
/* void kfree_nolock(ptr) */
int on_kfree_nolock(u64 *ctx)
{
	struct seen_event seen = {.kind = SLAB_NOLOCK_FREE, .ptr = argument(ctx, 0), .node = -1};

	seen.call_site = caller_of(ctx, FUNCTION_kfree_nolock, 1);
	record_silent(ctx, &seen);
	return 0;
}
#endif

#ifdef SILENT_wrong_cache_free
/*
 * kmem_cache_free() found that the object is of another cache than its caller named.  With
 * FREELIST_HARDENED the tracepoint does not show this: up to 6.19 or so it has the object's own cache;
 * in later kernels the object is not freed and the tracepoint does not fire.  But the allocator calls
 * a function to complain:
 *   warn_free_bad_obj(s, object), where s is the cache that the caller named (WRONG_CACHE_NAMED);
 *   before, print_tracking(s, object), where s is the object's own; other complaints call it too.
 */
int on_wrong_cache_free(u64 *ctx)
{
	struct seen_event seen = {
		.kind = SLAB_WRONG_CACHE_FREE, .ptr = argument(ctx, 1), .node = -1};

	seen.call_site = caller_through(ctx, OUTER_wrong_cache_free, SIZE_wrong_cache_free);
#ifdef WRONG_CACHE_NAMED
	seen.cache = argument(ctx, 0);
	if (!seen.call_site) /* kmem_cache_free() jumped to it, as its last call */
		seen.call_site = caller_of(ctx, FUNCTION_wrong_cache_free, 2);
#else
	if (!seen.call_site)
		return 0;
#endif
	record_silent(ctx, &seen);
	return 0;
}
#endif
