/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Filters, each compiled in only if an option asks for it: FILTER_TGID, FILTER_COMM, FILTER_CGROUP,
 * FILTER_SIZE, FILTER_CACHE.
 *
 * Task and size can be judged only at the allocation, because any task may free the object.  So a wanted
 * allocation marks its address in `kept`, and a free is recorded if its address was ever marked.
 * Marks are never cleared, and several addresses may share one: a free too many costs a slot, a free
 * too few would be a false leak.
 */
#pragma once

#include "glob.h"
#ifdef FILTER_CGROUP
#include "cgroup.h"
#endif

#if defined(FILTER_TGID) || defined(FILTER_COMM) || defined(FILTER_CGROUP) || defined(FILTER_SIZE)
#define FILTER_BY_ALLOCATION 1
#endif

#ifdef FILTER_BY_ALLOCATION
#define KEPT_ROW  4096
#define KEPT_ROWS 4096
struct kept_row {
	u8 marked[KEPT_ROW];
};
BPF_F_TABLE("array", u32, struct kept_row, kept, KEPT_ROWS, 0);

static __always_inline u8 *kept_mark(u64 ptr)
{
	u64 hash = (ptr * 0x9e3779b97f4a7c15ull) >> 40;
	u32 row_index = hash / KEPT_ROW;
	struct kept_row *row = kept.lookup(&row_index);

	return row ? &row->marked[hash % KEPT_ROW] : NULL;
}
#endif

#ifdef FOLLOWED
/* Processes whose allocations are recorded, by tgid: --pid N --follow, where process.h adds and removes some; and
 * --pid N in a PID namespace, where the recorder finds the number that events have. */
BPF_F_TABLE("hash", u32, u8, followed, 65536, 0);
#endif

#ifdef FILTER_TGID
static __always_inline bool task_wanted(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

#ifdef FOLLOWED
	return followed.lookup(&tgid);
#else
	return tgid == FILTER_TGID;
#endif
}
#endif

#ifdef FILTER_COMM
GLOB_TABLE(comm_glob, 1);

static __always_inline bool comm_wanted(void)
{
	char comm[16] = {};
	u64 state = 1;
	u32 zero = 0;
	struct comm_glob *glob = comm_glob.lookup(&zero);

	if (!glob)
		return true;
	bpf_get_current_comm(comm, sizeof(comm));
#pragma unroll
	for (int i = 0; i < 16; i++) {
		u32 c = (u8)comm[i];

		if (!c)
			break;
		glob_take(&state, &glob->step[c], glob->loop, 1);
	}
	return state & glob->accept;
}
#endif

#if defined(FILTER_CACHE) || defined(PAGE_END)
/* Every kmem_cache, written by user space.  1: wanted, 0: not.  Events of a cache that is not here yet
 * are recorded; user space then judges the cache and adds it. */
BPF_F_TABLE("hash", u64, u8, known_caches, 16384, 0);
#endif

/* Is this allocation to be recorded?  `cache` is 0 where it has none. */
static __always_inline bool alloc_wanted(u64 ptr, u64 cache, u64 bytes_req)
{
#ifdef FILTER_TGID
	if (!task_wanted())
		return false;
#endif
#ifdef FILTER_SIZE
	if (bytes_req < FILTER_MIN_SIZE || bytes_req > FILTER_MAX_SIZE)
		return false;
#endif
#ifdef FILTER_COMM
	if (!comm_wanted())
		return false;
#endif
#ifdef FILTER_CGROUP
	if (!cgroup_wanted())
		return false;
#endif
#ifdef FILTER_CACHE
	u8 *wanted = known_caches.lookup(&cache);

	if (wanted && !*wanted)
		return false;
#endif
#ifdef FILTER_BY_ALLOCATION
	u8 *mark = kept_mark(ptr);

	if (mark)
		*mark = 1;
#endif
	return true;
}

/* May this be the free of an allocation that was wanted? */
static __always_inline bool free_wanted(u64 ptr, u64 cache)
{
#ifdef FILTER_CACHE
	u8 *wanted = known_caches.lookup(&cache);

	if (wanted && !*wanted)
		return false;
#endif
#ifdef FILTER_BY_ALLOCATION
	u8 *mark = kept_mark(ptr);

	if (mark && !*mark)
		return false;
#endif
	return true;
}
