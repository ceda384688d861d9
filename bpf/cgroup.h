/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * --cgroup GLOB (FILTER_CGROUP): which cgroups are wanted, as a set of their numbers.  So an event costs
 * one lookup, and no path is read for it.
 *
 * User space puts in what there is at the start (capture/programs/cgroup_filter.py).  A new cgroup is
 * judged while it is made, before a task can be in it: by its path, and by the cgroup above it.  Judged are
 * cgroup2 and, where there is one, the hierarchy of version 1 that CGROUP1 names.  A number is
 * one of its hierarchy: several have a cgroup 1.
 */
#pragma once

#include "glob.h"
#include "kernel_memory.h"

struct cgroup_key {
	u64 hierarchy;
	u64 number;
};

BPF_F_TABLE("hash", struct cgroup_key, u8, wanted_cgroups, WANTED_CGROUPS, 0);
BPF_F_TABLE("array", u32, u64, cgroups_unjudged, 1, BPF_F_MMAPABLE);
GLOB_TABLE(cgroup_glob, CGROUP_WORDS);

#define PATH_CHUNK  64
#define PATH_CHUNKS 16
#define PATH_MOST                                                                                  \
	1023 /* the tracepoint has no more: TRACE_CGROUP_PATH_LEN, with the 0 at its end */

/* Is the current task in a wanted cgroup? */
static __always_inline bool cgroup_wanted(void)
{
	struct cgroup_key key = {.number = bpf_get_current_cgroup_id()};

	if (wanted_cgroups.lookup(&key))
		return true;
#ifdef CGROUP1
	u64 at = bpf_get_current_task() + TASK_CGROUPS;

	if (!KERNEL_READ(&at, at) || !KERNEL_READ(&at, at + CGROUP1_CSS) ||
	    !KERNEL_READ(&at, at + CSS_CGROUP) || !KERNEL_READ(&at, at + CGROUP_KN) ||
	    !KERNEL_READ(&key.number, at + KERNFS_ID))
		return false;
	key.hierarchy = CGROUP1;
	if (wanted_cgroups.lookup(&key))
		return true;
#endif
	return false;
}

static __always_inline void cgroup_unjudged(void)
{
	u32 zero = 0;
	u64 *count = cgroups_unjudged.lookup(&zero);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Does the path match, or that of a cgroup above it?  One that may have been cut is not judged. */
static __always_inline bool path_wanted(u64 path)
{
	u64 state[CGROUP_WORDS] = {1};
	u32 zero = 0;
	struct cgroup_glob *glob = cgroup_glob.lookup(&zero);

	for (u32 part = 0; glob && part < PATH_CHUNKS; part++) {
		u8 text[PATH_CHUNK];

		if (bpf_probe_read_kernel(text, PATH_CHUNK, (void *)(path + part * PATH_CHUNK)))
			break;
		for (u32 i = 0; i < PATH_CHUNK; i++) {
			u32 c = text[i], at = part * PATH_CHUNK + i;

			if (at == PATH_MOST)
				break;
			/* there is a cgroup of the path so far; "/" is the first */
			if ((!c || c == '/' || at == 1) && state[CGROUP_WORDS - 1] & glob->accept)
				return true;
			if (!c)
				return false;
			glob_take(state, &glob->step[c * CGROUP_WORDS], glob->loop, CGROUP_WORDS);
		}
	}
	cgroup_unjudged();
	return false;
}

static __always_inline bool hierarchy_judged(u64 hierarchy)
{
#ifdef CGROUP1
	return !hierarchy || hierarchy == CGROUP1;
#else
	return !hierarchy;
#endif
}

/* A cgroup was made.  `parent`: the number of the one above it. */
static __always_inline void cgroup_judge(u64 hierarchy, u64 parent, u64 number, u64 path)
{
	struct cgroup_key key = {.hierarchy = hierarchy, .number = parent};
	u8 yes = 1;

	if (!hierarchy_judged(hierarchy))
		return;
	if (!wanted_cgroups.lookup(&key) && !path_wanted(path))
		return;
	key.number = number;
	if (wanted_cgroups.update(&key, &yes))
		cgroup_unjudged();
}

static __always_inline void cgroup_forget(u64 hierarchy, u64 number)
{
	struct cgroup_key key = {.hierarchy = hierarchy, .number = number};

	wanted_cgroups.delete(&key);
}
