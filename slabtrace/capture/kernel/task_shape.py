# SPDX-License-Identifier: Apache-2.0
"""Offsets that lead from a task to all others and to its numbers in PID namespaces, from this kernel's BTF.

Every process is in the list `tasks` of task_struct; its threads are in the list signal->thread_head.
"""

from __future__ import annotations

from dataclasses import dataclass

from slabtrace.capture.kernel.btf import Btf

_FIELDS = {
    "tasks": ("task_struct", "tasks"),
    "thread_node": ("task_struct", "thread_node"),
    "thread_pid": ("task_struct", "thread_pid"),
    "signal": ("task_struct", "signal"),
    "pid": ("task_struct", "pid"),
    "tgid": ("task_struct", "tgid"),
    "comm": ("task_struct", "comm"),
    "thread_head": ("signal_struct", "thread_head"),
    "level": ("pid", "level"),
    "numbers": ("pid", "numbers"),
    "nr": ("upid", "nr"),
    "ns": ("upid", "ns"),
}


@dataclass(frozen=True)
class TaskShape:
    """Offsets (bytes) of the fields by name (_FIELDS), and the size of a struct upid."""

    offsets: dict[str, int]
    sizeof_upid: int

    def __getitem__(self, field: str) -> int:
        return self.offsets[field]


def examine(btf: Btf) -> TaskShape | None:
    """The running kernel's shape; None if it lacks one of the fields."""
    if not all(btf.has_field(*field) for field in _FIELDS.values()):
        return None
    return TaskShape({name: btf.offsetof(*field) for name, field in _FIELDS.items()}, btf.sizeof("upid"))
