/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Repeats: most events differ from one a moment before by time and address only.  Such an event takes 24 bytes
 * of a ring instead of 64, and user space need not find out again which site it is of.
 *
 * Each lane remembers sites: of each, a key and the number of the slot that had it.  An event whose site is
 * remembered becomes a repeat that names the slot; any other one becomes a slot, and its site is
 * remembered in place of another one.  So no table of user space is needed, and none can be full.
 * A slot that is too far back is not named: user space forgets the sites of slots in the order they came
 * (capture/stream/repeated.py has the proof of SLOT_SPAN).
 *
 * Sites share a key as seldom as in user space's own table: capture/stream/sites.py.
 *
 * Two kinds of events always take a slot: of a task that no slot of this CPU has named lately (a repeat has no
 * tgid), and of memory that is no slab's.  So do bulk frees, and all of survivors mode, where events are rare.
 */
#pragma once

/* The key of a site.  `stack_id` is that of the event, or stands for it. */
static __always_inline u64 site_key(const struct slab_event *event, s32 stack_id)
{
	u64 key = event->call_site * 0x9e3779b97f4a7c15ull + event->cache * 0xc2b2ae3d27d4eb4full;

	key += ((u64)event->bytes_alloc << 32 | event->bytes_req) * 0x165667b19e3779f9ull;
	key += ((u64)event->gfp_flags << 32 | (u32)stack_id) * 0x9e3779b185ebca87ull;
	key += ((u64)(u16)event->node << 16 | event->kind << 8 | event->flags) *
	       0x85ebca77c2b2ae63ull;
	return key | 1;
}

#ifdef SURVIVORS
#define repeat(claim, event) false
#define remember(claim, event)
#else
#define SITES	    1024 /* of each lane */
#define SITES_SHIFT 54	 /* the upper ten bits of a key */
#define TASKS	    1024 /* of each CPU */
#define SLOT_SPAN   2	 /* a slot is named while less than 1/SLOT_SPAN of the ring is newer */

struct remembered_site {
	u64 key; /* 0: none */
	u64 slot;
};

struct remembered_tasks {
	u64 task[TASKS]; /* as bpf_get_current_pid_tgid() has them */
};

BPF_F_TABLE("array", u32, struct remembered_site, remembered_sites, NR_CPUS * LANES * SITES, 0);
BPF_F_TABLE("array", u32, struct remembered_tasks, remembered_tasks, NR_CPUS, 0);

static __always_inline struct remembered_site *site_place(const struct claim *claim, u64 key)
{
	u32 lane = claim->cpu * LANES + (claim->number & (LANES - 1));
	u32 index = lane * SITES + (key >> SITES_SHIFT);

	return remembered_sites.lookup(&index);
}

static __always_inline u64 *task_place(const struct claim *claim, u32 tid)
{
	struct remembered_tasks *tasks = remembered_tasks.lookup(&claim->cpu);

	return tasks ? &tasks->task[tid & (TASKS - 1)] : NULL;
}

static __always_inline u64 task_of(const struct slab_event *event)
{
	return (u64)event->tgid << 32 | event->tid;
}

/* Put an event into the ring of repeats.  False: that is full. */
static __always_inline bool repeat_commit(const struct claim *claim, const struct slab_event *event,
					  u64 slot)
{
	u64 size = slots_of(claim) * REPEATS, at = claim->lane->repeats;
	u32 index = first_slot(claim) * REPEATS + (at & (size - 1));
	struct repeat_event *made = repeats.lookup(&index);

	if (!made || at - claim->state->repeats_tail[claim->number & (LANES - 1)] >= size)
		return false;
	made->ts_ns = event->ts_ns;
	made->ptr = event->ptr;
	made->slot = slot;
	made->tid = event->tid;
	barrier();
	*(volatile u64 *)&claim->lane->repeats = at + 1;
	return true;
}

/* Done with this event?  Not if it must have a slot of its own. */
static __always_inline bool repeat(const struct claim *claim, const struct slab_event *event)
{
	u64 key = site_key(event, event->stack_id);
	struct remembered_site *site = site_place(claim, key);
	u64 *task = task_place(claim, event->tid);

	if (!site || site->key != key || !task || *task != task_of(event) ||
	    claim->lane->head - site->slot >= slots_of(claim) / SLOT_SPAN ||
	    !has_cache(event->kind))
		return false;
	return repeat_commit(claim, event, site->slot);
}

/* Before the slot of this event is committed. */
static __always_inline void remember(const struct claim *claim, const struct slab_event *event)
{
	u64 key = site_key(event, event->stack_id);
	struct remembered_site *site = site_place(claim, key);
	u64 *task = task_place(claim, event->tid);

	if (site) {
		site->key = key;
		site->slot = claim->lane->head;
	}
	if (task)
		*task = task_of(event);
}
#endif
