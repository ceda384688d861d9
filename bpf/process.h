/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What processes and cgroups do: they begin, execute a file, end, are moved, made and removed.  A process is
 * often gone before user space could read /proc, and so is a cgroup.  These are events in the same rings and
 * the same order as slab events, but never for a slab event: a slab event has its task, which leads here.
 *
 * Offsets are those of capture/kernel/process_shape.py, which says what may be missing.
 */
#pragma once

#define CLONE_THREAD 0x00010000
#define EXE_PARTS    6	/* 234 bytes */
#define ARGS_PARTS   12 /* 480 bytes */
#define PATH_PARTS   8	/* 312 bytes */

static __always_inline u64 read_u64(u64 address)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline u32 read_u32(u64 address)
{
	u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

/* The number of a cgroup: that of its directory, as stat() shows it. */
static __always_inline u64 cgroup_id(u64 cgroup)
{
#ifdef CGROUP_KN
	return read_u64(read_u64(cgroup + CGROUP_KN) + KERNFS_ID);
#else
	return 0;
#endif
}

static __always_inline u64 default_cgroup(u64 task)
{
#ifdef CGROUP_KN
	return cgroup_id(read_u64(read_u64(task + TASK_CGROUPS) + CSS_SET_DFL_CGRP));
#else
	return 0;
#endif
}

static __always_inline u32 pid_namespace(u64 task)
{
	u64 pid = read_u64(task + TASK_THREAD_PID);
	u64 upid = pid + PID_NUMBERS + (u64)read_u32(pid + PID_LEVEL) * SIZEOF_UPID;

	return read_u32(read_u64(upid + UPID_NS) + PID_NS_INUM);
}

static __always_inline u32 net_namespace(u64 task)
{
	return read_u32(read_u64(read_u64(task + TASK_NSPROXY) + NSPROXY_NET_NS) + NET_INUM);
}

static __always_inline struct process_event *process_slot(struct claim *claim, u64 task, u64 ts_ns,
							  u8 kind)
{
	struct process_event *slot = (struct process_event *)slot_claim(claim);

	if (!slot)
		return NULL;
	__builtin_memset(slot, 0, sizeof(*slot));
	slot->ts_ns = ts_ns;
	slot->tid = read_u32(task + TASK_PID);
	slot->tgid = read_u32(task + TASK_TGID);
	slot->cpu = claim->cpu;
	slot->kind = kind;
	return slot;
}

/* Where a task belongs: its parent, its namespaces, its cgroup. */
static __always_inline void process_place(struct process_event *slot, u64 task)
{
	slot->parent = read_u32(read_u64(task + TASK_REAL_PARENT) + TASK_TGID);
	slot->pid_ns = pid_namespace(task);
	slot->net_ns = net_namespace(task);
	slot->cgroup = default_cgroup(task);
}

static __always_inline struct text_event *text_slot(struct claim *claim, u64 task, u64 ts_ns,
						    u16 what, u8 part)
{
	struct text_event *slot = (struct text_event *)process_slot(claim, task, ts_ns, SLAB_TEXT);

	if (slot) {
		slot->what = what;
		slot->part = part;
	}
	return slot;
}

/* A string of the kernel, in parts. */
static __always_inline void text_of_kernel(struct claim *claim, u64 task, u64 ts_ns, u16 what,
					   u64 text, u32 parts)
{
	for (u32 part = 0; part < parts; part++) {
		struct text_event *slot = text_slot(claim, task, ts_ns, what, part);
		long copied;

		if (!slot)
			return;
		copied = bpf_probe_read_kernel_str(slot->text, TEXT_BYTES, (void *)text);
		slot->length = copied > 0 ? copied - 1 : 0;
		slot_commit(claim);
		if (copied < TEXT_BYTES)
			return;
		text += TEXT_BYTES - 1;
	}
}

/* Memory of the current process, in parts. */
static __always_inline void text_of_user(struct claim *claim, u64 task, u64 ts_ns, u16 what,
					 u64 begin, u64 end)
{
	for (u32 part = 0; part < ARGS_PARTS && begin < end; part++) {
		struct text_event *slot = text_slot(claim, task, ts_ns, what, part);
		u64 bytes = end - begin;

		asm volatile(
			""
			: "+r"(bytes)); /* or the compiler drops the bound, which old verifiers need */
		if (bytes > TEXT_BYTES)
			bytes = TEXT_BYTES;
		if (!slot || bpf_probe_read_user(slot->text, bytes, (void *)begin))
			return;
		slot->length = bytes;
		slot_commit(claim);
		begin += TEXT_BYTES;
	}
}

static __always_inline void process_placed(u64 task, u8 kind)
{
	struct claim claim;
	struct process_event *slot;

	if (!lane_enter(&claim))
		return;
	slot = process_slot(&claim, task, bpf_ktime_get_ns(), kind);
	if (slot) {
		process_place(slot, task);
		slot_commit(&claim);
	}
	lane_leave(&claim);
}

/* A new thread is of a process that is known.  The tracepoint is called by the one that forks. */
int process_newtask(struct bpf_raw_tracepoint_args *ctx)
{
	if (ARG(task_newtask, flags) & CLONE_THREAD)
		return 0;
#ifdef FOLLOW
	u32 child = read_u32(ARG(task_newtask, task) + TASK_TGID);
	u8 yes = 1;

	if (task_wanted())
		followed.update(&child, &yes);
#endif
	process_placed(ARG(task_newtask, task), SLAB_PROCESS_FORK);
	return 0;
}

int sched_process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ARG(sched_process_exec, task), ts_ns = bpf_ktime_get_ns();
	u64 mm = read_u64(task + TASK_MM);
	struct claim claim;
	struct process_event *slot;

	if (!lane_enter(&claim))
		return 0;
	slot = process_slot(&claim, task, ts_ns, SLAB_PROCESS_EXEC);
	if (slot) {
		process_place(slot, task);
		slot_commit(&claim);
		text_of_kernel(&claim, task, ts_ns, SLAB_TEXT_EXE,
			       read_u64(ARG(sched_process_exec, binprm) + BINPRM_FILENAME),
			       EXE_PARTS);
		text_of_user(&claim, task, ts_ns, SLAB_TEXT_ARGS, read_u64(mm + MM_ARG_START),
			     read_u64(mm + MM_ARG_END));
	}
	lane_leave(&claim);
	return 0;
}

/* Of the last thread of a process: signal.live is 0 (kernel/exit.c, do_exit). */
int sched_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ARG(sched_process_exit, task);

	if (read_u32(read_u64(task + TASK_SIGNAL) + SIGNAL_LIVE))
		return 0;
#ifdef FOLLOW
	u32 tgid = read_u32(task + TASK_TGID);

	followed.delete(&tgid);
#endif
	process_placed(task, SLAB_PROCESS_EXIT);
	return 0;
}

#ifdef CGROUP_KN
static __always_inline u32 hierarchy_of(u64 cgroup)
{
	return read_u32(read_u64(cgroup + CGROUP_ROOT) + CGROUP_ROOT_HIERARCHY_ID);
}

/* A cgroup, and the task that is moved to it, or that makes or removes it. */
static __always_inline void cgroup_seen(u64 cgroup, u64 path, u64 task, u8 kind)
{
	u64 ts_ns = bpf_ktime_get_ns();
	struct claim claim;
	struct process_event *slot;

	if (!lane_enter(&claim))
		return;
	slot = process_slot(&claim, task, ts_ns, kind);
	if (slot) {
		slot->cgroup = cgroup_id(cgroup);
		slot->hierarchy = hierarchy_of(cgroup);
		slot_commit(&claim);
		text_of_kernel(&claim, task, ts_ns, SLAB_TEXT_PATH, path, PATH_PARTS);
	}
	lane_leave(&claim);
}

int cgroup_attach_task(struct bpf_raw_tracepoint_args *ctx)
{
	cgroup_seen(ARG(cgroup_attach_task, cgroup), ARG(cgroup_attach_task, path),
		    ARG(cgroup_attach_task, task), SLAB_PROCESS_MOVED);
	return 0;
}

#ifdef FILTER_CGROUP
/* cgroup_parent(), include/linux/cgroup.h: the state of a cgroup points to that of the one above. */
static __always_inline u64 cgroup_above(u64 cgroup)
{
	return read_u64(cgroup + CGROUP_SELF + CSS_PARENT) - CGROUP_SELF;
}
#endif

/* Called before a task can be put into it: cgroup_mkdir(), kernel/cgroup/cgroup.c. */
int cgroup_mkdir(struct bpf_raw_tracepoint_args *ctx)
{
	u64 cgroup = ARG(cgroup_mkdir, cgroup), path = ARG(cgroup_mkdir, path);

#ifdef FILTER_CGROUP
	cgroup_judge(hierarchy_of(cgroup), cgroup_id(cgroup_above(cgroup)), cgroup_id(cgroup),
		     path);
#endif
	cgroup_seen(cgroup, path, bpf_get_current_task(), SLAB_CGROUP_MADE);
	return 0;
}

int cgroup_rmdir(struct bpf_raw_tracepoint_args *ctx)
{
	u64 cgroup = ARG(cgroup_rmdir, cgroup);

#ifdef FILTER_CGROUP
	cgroup_forget(hierarchy_of(cgroup), cgroup_id(cgroup));
#endif
	cgroup_seen(cgroup, ARG(cgroup_rmdir, path), bpf_get_current_task(), SLAB_CGROUP_GONE);
	return 0;
}
#endif
