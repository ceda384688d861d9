/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --mode survivors: the programs pair allocations with frees, and send events only of objects that grow old.
 *
 * The table of live objects is an array of sets.  Each address has a home: 256 bytes of memory share a set, and
 * the sixteen sets of a page are neighbours, so that objects that are made one after another, as those of a slab
 * are, meet in the CPU's caches and in the TLB.  Where the home is full, the object is put into another set,
 * chosen by its whole address, and the home counts it in `spilled`.
 *
 * A place in a set is taken by compare-and-exchange of the address, and is valid once `ts_ns`, written last, is
 * not 0.  Then nobody writes to it until the program that sees the free clears it.
 *
 *   The object is freed younger than THRESHOLD_NS: it is counted (counted.h), and nothing is sent.
 *   It is freed at a greater age: its allocation and its free are sent as events.
 *   It grows old: user space sweeps the times now and then, and makes an allocation event of each object that
 *   is older than THRESHOLD_NS plus a margin.  When such an object is freed, the program sends the
 *   allocation once more; user space drops the second one (capture/stream/live_table.py).
 *
 * What does not fit into the table is sent as events at once, so nothing is lost: an object whose set or kind
 * is full, a free of an address that is not in the table, both allocations where an address is allocated
 * twice.  Events of silent paths (silent.h) are always sent.  Before a single free of theirs the allocation
 * of its object is sent; the objects of a bulk free stay in the table until a sweep, or until their
 * address is allocated again.
 *
 * Example: THRESHOLD_NS is 1 s, the margin 10 ms.
 *
 *   time    what happens                      sent             table after it
 *   0.00 s  A is allocated                                     A
 *   0.10 s  B is allocated                                     A B
 *   0.30 s  B is freed, 0.2 s old             (counted)        A
 *   1.20 s  sweep: allocated before 0.19 s?   user space: A    A, taken
 *   2.00 s  C is allocated                                     A C
 *   2.50 s  C again: its free was missed      C, C             A C, C marked OBJECT_SENT
 *   2.60 s  C is freed                        C's free         A
 *   3.00 s  A is freed, 3 s old               A, A's free
 *
 * In the trace: A once (its second allocation is dropped) with its free, two C with one free, and one
 * lifetime of 0.2 s.
 */
#pragma once

#ifdef SURVIVORS
#define WAYS	    7
#define OBJECT_SENT 0x8000 /* in `kind`: the allocation was sent by a program */

struct live_object {
	u64 ts_ns; /* of the allocation; 0: not valid */
	u16 kind;
	u16 cpu;
	s32 stack_id;
	u32 tgid;
	u32 tid;
};

struct live_set {
	u64 ptr[WAYS]; /* 0: free */
	u64 spilled;   /* objects whose home this is, and that are in another set */
	struct live_object object[WAYS];
	u64 unused[3];
};

BPF_F_TABLE("array", u32, struct live_set, live_sets, LIVE_SETS, BPF_F_MMAPABLE);

/* Where an address is: `way` is WAYS if it has no place. */
struct place {
	struct live_set *set;
	struct live_set *home;
	u32 way;
};

/* Multiplied twice.  With one multiplication, addresses at equal distances, as those of a slab are, may use
 * only a tenth of the sets. */
static __always_inline u64 mixed(u64 ptr)
{
	ptr *= 0xd6e8feb86659fd93ull;
	return (ptr ^ ptr >> 32) * 0x9e3779b97f4a7c15ull;
}

static __always_inline struct live_set *home_of(u64 ptr)
{
	u32 index = ((mixed(ptr >> 12) >> 32) + (ptr >> 8 & 15)) & (LIVE_SETS - 1);

	return live_sets.lookup(&index);
}

static __always_inline struct live_set *other_of(u64 ptr)
{
	u32 index = (mixed(ptr) >> 32) & (LIVE_SETS - 1);

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

/* Find the place of an address.  False: it has none; `home` is NULL if there can be none. */
static __always_inline bool find(u64 ptr, struct place *place)
{
	place->way = WAYS;
	place->set = place->home = home_of(ptr);
	if (!place->home)
		return false;
	place->way = way_of(place->home, ptr);
	if (place->way >= WAYS && *(volatile u64 *)&place->home->spilled) {
		place->set = other_of(ptr);
		if (place->set)
			place->way = way_of(place->set, ptr);
	}
	return place->set && place->way < WAYS;
}

/* Take a place for an address whose `home` is known; false if both sets are full. */
static __always_inline bool take(u64 ptr, struct place *place)
{
	place->set = place->home;
	place->way = way_take(place->home, ptr);
	if (place->way < WAYS)
		return true;
	place->set = other_of(ptr);
	if (!place->set)
		return false;
	place->way = way_take(place->set, ptr);
	if (place->way >= WAYS)
		return false;
	__sync_fetch_and_add(&place->home->spilled, 1);
	return true;
}

/* `way` is known to be less than WAYS, but not to the verifier. */
static __always_inline u32 bound(u32 way)
{
	return way < WAYS ? way : 0;
}

static __always_inline struct live_object *object_at(const struct place *place)
{
	return &place->set->object[bound(place->way)];
}

static __always_inline u64 *time_at(const struct place *place)
{
	return &object_at(place)->ts_ns;
}

static __always_inline void leave(const struct place *place)
{
	*(volatile u64 *)time_at(place) = 0;
	barrier();
	*(volatile u64 *)&place->set->ptr[bound(place->way)] = 0;
	if (place->set != place->home)
		__sync_fetch_and_add(&place->home->spilled, -1);
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

/* Send the allocation of the object at a place, unless a program has sent it before. */
static __always_inline void send_allocation(struct claim *claim, const struct place *place)
{
	struct live_object *object = object_at(place);
	u32 number = object->kind;
	struct slab_event *kept = kind_events.lookup(&number), event;

	if (object->kind & OBJECT_SENT || !kept)
		return;
	event = *kept;
	event.ts_ns = *time_at(place);
	event.ptr = place->set->ptr[bound(place->way)];
	event.stack_id = object->stack_id;
	event.tgid = object->tgid;
	event.tid = object->tid;
	event.cpu = object->cpu;
	object->kind |= OBJECT_SENT;
	send(claim, &event);
}

static __always_inline void send_allocation_in_lane(struct claim *claim, const struct place *place)
{
	if (lane_next(claim)) {
		send_allocation(claim, place);
		lane_leave(claim);
	}
}

#ifdef STACKS_AUTO /* stacks are sampled: a kind has objects with a stack and without */
#define KIND_STACK(event) STACK_NOT_TAKEN
#else
#define KIND_STACK(event) ((event)->stack_id)
#endif

static __always_inline void put(const struct place *place, const struct slab_event *event, u32 kind)
{
	struct live_object *object = object_at(place);

	*(volatile u64 *)time_at(place) = 0;
	barrier();
	object->kind = kind;
	object->cpu = event->cpu;
	object->stack_id = event->stack_id;
	object->tgid = event->tgid;
	object->tid = event->tid;
	barrier();
	*(volatile u64 *)time_at(place) = event->ts_ns;
}

/* Put an allocation into the table.  False: the caller must send it. */
static __always_inline bool keep(struct claim *claim, const struct slab_event *event)
{
	u32 number = kind_of(event, KIND_STACK(event));
	struct place place;

	if (find(event->ptr, &place)) { /* a free was missed */
		send_allocation_in_lane(claim, &place);
		if (number == NO_KIND)
			leave(&place);
		else
			put(&place, event, number | OBJECT_SENT);
		return false;
	}
	if (number == NO_KIND || !place.home || !take(event->ptr, &place))
		return false;
	put(&place, event, number);
	return true;
}

/* Take a freed object out of the table and count it, if it is young.  False: the caller must send the free;
 * the allocation has been sent. */
static __always_inline bool drop(struct claim *claim, u64 ptr, u64 cache)
{
	struct slab_event *kept;
	struct place place;
	u64 ns;
	u32 number;

	if (!find(ptr, &place))
		return false;
	number = object_at(&place)->kind;
	kept = kind_events.lookup(&number); /* NULL if OBJECT_SENT is set: send the free too */
	ns = bpf_ktime_get_ns() - *time_at(&place);
	if (kept && ns < THRESHOLD_NS && (!cache || cache == kept->cache)) {
		bool moved = object_at(&place)->cpu != claim->cpu;

		leave(&place);
		count_lifetime(claim->cpu, number, ns, moved);
		return true;
	}
	send_allocation_in_lane(claim, &place);
	leave(&place);
	return false;
}

/* Before an event is sent that may free an object of the table: send the object's allocation. */
static __always_inline void send_object_of(struct claim *claim, u64 ptr)
{
	struct place place;

	if (find(ptr, &place))
		send_allocation(claim, &place);
}
#else
#define send_object_of(claim, ptr)
#endif
