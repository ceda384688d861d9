/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --mode survivors: allocations and frees are paired here, and only objects that grow old are told of.
 *
 * The table of live objects is an array of sets, each for the addresses of one hash.  A place in a set
 * is taken by compare-and-exchange of its address; `ts_ns`, written last, makes it valid.  Nobody
 * else writes it until the object is freed, by the program that sees that.
 *
 *   A free of an object younger than THRESHOLD_NS: it is counted (counted.h), and nothing is sent.
 *   Of an older one: its allocation and its free are sent, as events like any other.
 *   User space reads the times every now and then, and takes what grew older than THRESHOLD_NS plus a
 *   margin for an event of its own.  By its age, the free of such an object will be sent.  That
 *   the allocation is then sent a second time is for user space to notice (capture/live_table.py).
 *
 * Whatever does not fit is sent at once, as in the mode of events, so nothing is ever lost here: an
 * object whose set or kind is full, a free of something not in the table, both allocations where an address
 * is allocated twice.  So are the silent paths' events (silent.h); what those may free is sent with
 * its allocation.
 */
#pragma once

#ifdef SURVIVORS
#define WAYS	    8
#define OBJECT_SENT 0x8000 /* in `kind`: the allocation was sent by a program */

struct live_object {
	u16 kind;
	u16 cpu;
	s32 stack_id;
	u32 tgid;
	u32 tid;
};

struct live_set {
	u64 ptr[WAYS];	 /* 0: free */
	u64 ts_ns[WAYS]; /* 0: not valid */
	struct live_object object[WAYS];
};

BPF_F_TABLE("array", u32, struct live_set, live_sets, LIVE_SETS, BPF_F_MMAPABLE);

static __always_inline struct live_set *live_set_of(u64 ptr)
{
	u32 index = (ptr * 0xd6e8feb86659fd93ull >> 32) & (LIVE_SETS - 1);

	return live_sets.lookup(&index);
}

static __always_inline u32 way_of(const struct live_set *set, u64 ptr)
{
#pragma unroll
	for (u32 i = 0; i < WAYS; i++) {
		if (set->ptr[i] == ptr)
			return i;
	}
	return WAYS;
}

/* Take a free place for `ptr`; WAYS if there is none. */
static __always_inline u32 way_take(struct live_set *set, u64 ptr)
{
#pragma unroll
	for (u32 i = 0; i < WAYS; i++) {
		if (!set->ptr[i] && !__sync_val_compare_and_swap(&set->ptr[i], 0, ptr))
			return i;
	}
	return WAYS;
}

static __always_inline void way_leave(struct live_set *set, u32 way)
{
	*(volatile u64 *)&set->ts_ns[way & (WAYS - 1)] = 0;
	barrier();
	*(volatile u64 *)&set->ptr[way & (WAYS - 1)] = 0;
}

/* Send an event through the lane that is taken. */
static __always_inline void send(struct claim *claim, const struct slab_event *event)
{
	struct slab_event *slot = slot_claim(claim);

	if (slot) {
		*slot = *event;
		slot_commit(claim);
	}
}

/* Send the allocation of the object at a place, unless it was. */
static __always_inline void send_allocation(struct claim *claim, struct live_set *set, u32 way)
{
	struct live_object *object = &set->object[way & (WAYS - 1)];
	u32 number = object->kind;
	struct slab_event *kept = kind_events.lookup(&number), event;

	if (object->kind & OBJECT_SENT || !kept)
		return;
	event = *kept;
	event.ts_ns = set->ts_ns[way & (WAYS - 1)];
	event.ptr = set->ptr[way & (WAYS - 1)];
	event.stack_id = object->stack_id;
	event.tgid = object->tgid;
	event.tid = object->tid;
	event.cpu = object->cpu;
	object->kind |= OBJECT_SENT;
	send(claim, &event);
}

#ifdef STACKS_AUTO /* by lot: the kind is of all, with a stack and without */
#define KIND_STACK(event) STACK_NOT_TAKEN
#else
#define KIND_STACK(event) ((event)->stack_id)
#endif

/* Keep an allocation; false: it is to be sent. */
static __always_inline bool keep(struct claim *claim, const struct slab_event *event)
{
	struct live_set *set = live_set_of(event->ptr);
	struct live_object *object;
	u32 number, way;
	bool again;

	if (!set)
		return false;
	number = kind_of(event, KIND_STACK(event));
	way = way_of(set, event->ptr);
	again = way < WAYS;
	if (again && lane_next(claim)) { /* a free was missed */
		send_allocation(claim, set, way);
		lane_leave(claim);
	}
	if (again && number == NO_KIND) {
		way_leave(set, way);
		return false;
	}
	if (number == NO_KIND)
		return false;
	if (!again)
		way = way_take(set, event->ptr);
	if (way >= WAYS)
		return false;
	*(volatile u64 *)&set->ts_ns[way & (WAYS - 1)] = 0;
	barrier();
	object = &set->object[way & (WAYS - 1)];
	object->kind = number | (again ? OBJECT_SENT : 0);
	object->cpu = event->cpu;
	object->stack_id = event->stack_id;
	object->tgid = event->tgid;
	object->tid = event->tid;
	barrier();
	*(volatile u64 *)&set->ts_ns[way & (WAYS - 1)] = event->ts_ns;
	return !again;
}

/* Forget a young object that is freed.  False: the free is to be sent; what it ends was sent. */
static __always_inline bool drop(struct claim *claim, u64 ptr, u64 cache)
{
	struct live_set *set = live_set_of(ptr);
	struct live_object *object;
	struct slab_event *kept;
	u64 ns;
	u32 way, number;

	if (!set)
		return false;
	way = way_of(set, ptr);
	if (way >= WAYS)
		return false;
	object = &set->object[way & (WAYS - 1)];
	number = object->kind;
	kept = kind_events.lookup(&number); /* none if the allocation was sent */
	ns = bpf_ktime_get_ns() - set->ts_ns[way & (WAYS - 1)];
	if (kept && ns < THRESHOLD_NS && (!cache || cache == kept->cache)) {
		bool moved = object->cpu != claim->cpu;

		way_leave(set, way);
		count_lifetime(claim->cpu, number, ns, moved);
		return true;
	}
	if (lane_next(claim)) {
		send_allocation(claim, set, way);
		lane_leave(claim);
	}
	way_leave(set, way);
	return false;
}

/* An event that may concern an object of the table is about to be sent, through the lane that is taken. */
static __always_inline void send_what_it_concerns(struct claim *claim, u64 ptr)
{
	struct live_set *set = live_set_of(ptr);
	u32 way = set ? way_of(set, ptr) : WAYS;

	if (set && way < WAYS)
		send_allocation(claim, set, way);
}
#else
#define send_what_it_concerns(claim, ptr)
#endif
