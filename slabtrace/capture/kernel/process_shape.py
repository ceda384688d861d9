# SPDX-License-Identifier: Apache-2.0
"""Byte offsets that lead from a task to its parent, namespaces and cgroup, from this kernel's BTF.

A kernel without what is needed here is traced all the same; its trace then has no processes, or no cgroups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slabtrace.capture.kernel import arguments
from slabtrace.capture.kernel.btf import Btf

# (name of the -D number, struct, fields that lead from one struct into the next)
_PROCESS = (
    ("TASK_REAL_PARENT", "task_struct", "real_parent"),
    ("TASK_THREAD_PID", "task_struct", "thread_pid"),
    ("TASK_NSPROXY", "task_struct", "nsproxy"),
    ("TASK_MM", "task_struct", "mm"),
    ("TASK_SIGNAL", "task_struct", "signal"),
    ("SIGNAL_LIVE", "signal_struct", "live"),
    ("PID_LEVEL", "pid", "level"),
    ("PID_NUMBERS", "pid", "numbers"),
    ("UPID_NS", "upid", "ns"),
    ("NSPROXY_NET_NS", "nsproxy", "net_ns"),
    ("BINPRM_FILENAME", "linux_binprm", "filename"),
    ("MM_ARG_START", "mm_struct", "arg_start"),
    ("MM_ARG_END", "mm_struct", "arg_end"),
)
_NAMESPACES = (("PID_NS_INUM", "pid_namespace"), ("NET_INUM", "net"))  # both have a struct ns_common `ns`
_CGROUP = (
    ("TASK_CGROUPS", "task_struct", "cgroups"),
    ("CSS_SET_DFL_CGRP", "css_set", "dfl_cgrp"),
    ("CGROUP_KN", "cgroup", "kn"),
    ("CGROUP_ROOT", "cgroup", "root"),
    ("CGROUP_ROOT_HIERARCHY_ID", "cgroup_root", "hierarchy_id"),
    ("KERNFS_ID", "kernfs_node", "id"),
)
# {program: the tracepoint it is attached to}
PROCESS_PROGRAMS = {
    "process_newtask": "task_newtask",
    "sched_process_exec": "sched_process_exec",
    "sched_process_exit": "sched_process_exit",
}
CGROUP_PROGRAMS = ("cgroup_attach_task", "cgroup_mkdir", "cgroup_rmdir")


@dataclass(frozen=True)
class ProcessShape:
    """The -D numbers of bpf/process.h, and its programs with the tracepoint of each; empty: unknown."""

    numbers: dict[str, int]
    programs: dict[str, str]

    @property
    def has_cgroups(self) -> bool:
        """Whether this kernel says in which cgroup a task is, and which are made."""
        return "CGROUP_KN" in self.numbers

    def defines(self) -> dict[str, int]:
        """The -D numbers for bpf/."""
        return self.numbers | ({"PROCESSES": 1} if self.programs else {})


def examine(btf: Btf) -> ProcessShape:
    """The running kernel's shape."""
    needed = [(struct, field) for _, struct, field in _PROCESS]
    needed += [("ns_common", "inum"), *((struct, "ns") for _, struct in _NAMESPACES)]
    if not _has(btf, needed, PROCESS_PROGRAMS.values()):
        return ProcessShape({}, {})
    numbers = {name: btf.offsetof(struct, field) for name, struct, field in _PROCESS}
    inum = btf.offsetof("ns_common", "inum")
    numbers |= {name: btf.offsetof(struct, "ns") + inum for name, struct in _NAMESPACES}
    numbers |= {"SIZEOF_UPID": btf.sizeof("upid")} | _arguments(btf, PROCESS_PROGRAMS.values())
    programs = dict(PROCESS_PROGRAMS)
    if _has(btf, [(struct, field) for _, struct, field in _CGROUP], CGROUP_PROGRAMS):
        numbers |= {name: btf.offsetof(struct, field) for name, struct, field in _CGROUP}
        numbers |= _arguments(btf, CGROUP_PROGRAMS)
        programs |= {name: name for name in CGROUP_PROGRAMS}
    return ProcessShape(numbers, programs)


def _has(btf: Btf, fields: list[tuple[str, str]], tracepoints: Iterable[str]) -> bool:
    """Whether this kernel has all these fields, and these tracepoints with arguments that are known."""
    there = all(btf.has_field(struct, field) for struct, field in fields)
    return there and all(arguments.of_tracepoint(btf, name) is not None for name in tracepoints)


def _arguments(btf: Btf, tracepoints: Iterable[str]) -> dict[str, int]:
    """The -D numbers of the arguments of tracepoints that this kernel has."""
    found = {name: arguments.of_tracepoint(btf, name) or {} for name in tracepoints}
    return {
        name: index
        for each, places in found.items()
        for name, index in arguments.defines(each, places).items()
    }
