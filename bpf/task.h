/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Names of tasks.  A short-lived process is gone before user space reads /proc.  So a new task and a
 * new name are events too, in the same rings and the same order as slab events.
 */
#pragma once

static __always_inline void task_named(u64 task, void *comm)
{
	struct claim claim;
	struct slab_event *slot;

	if (!lane_enter(&claim))
		return;
	slot = slot_claim(&claim);
	if (slot) {
		slot->ts_ns = bpf_ktime_get_ns();
		bpf_probe_read_kernel(&slot->ptr, 16, comm);
		bpf_probe_read_kernel(&slot->tid, 4, (void *)(task + TASK_PID));
		bpf_probe_read_kernel(&slot->tgid, 4, (void *)(task + TASK_TGID));
		slot->kind = SLAB_TASK_COMM;
		slot->cpu = claim.cpu;
		slot_commit(&claim);
	}
	lane_leave(&claim);
}

int task_newtask(struct bpf_raw_tracepoint_args *ctx)
{
	u64 task = ARG(task_newtask, task);

	task_named(task, (void *)(task + TASK_COMM));
	return 0;
}

int task_rename(struct bpf_raw_tracepoint_args *ctx)
{
	task_named(ARG(task_rename, task), (void *)ARG(task_rename, comm));
	return 0;
}
