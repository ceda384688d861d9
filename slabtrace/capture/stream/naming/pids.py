# SPDX-License-Identifier: Apache-2.0
"""Numbers of processes: those that the recorder sees, and those that events have.

They are the same in the initial PID namespace.  In another one, as in a container, the tasks are read from
the kernel's memory (task_walk.py); /proc is asked only about processes whose number could be translated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from slabtrace.capture.stream.intake import TaskName
from slabtrace.capture.stream.naming.task_walk import TaskWalk
from slabtrace.capture.stream.naming.tasks import read_comm, running_tasks

INITIAL = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h
_SELF = Path("/proc/self")


def in_initial_namespace() -> bool:
    """Whether this process's numbers are those of events, and /proc shows them."""
    try:
        return (_SELF / "ns/pid").stat().st_ino == INITIAL and int(_SELF.readlink().name) == os.getpid()
    except OSError:
        return False  # no /proc


class Pids:
    """Translates numbers.  `walk`: None in the initial namespace, or where tasks cannot be read."""

    def __init__(self, walk: TaskWalk | None, initial: bool) -> None:
        self._walk, self.initial = walk, initial
        self._kernels: dict[int, int] = {}  # {number here: number in events}
        if walk is not None and not initial:
            self.look()

    def look(self) -> list[TaskName]:
        """Read all tasks again; their names, without times."""
        if self._walk is None:
            return []
        own, tasks = self._walk.namespaces()[-1:], self._walk.tasks()
        for task in tasks:
            self._kernels.update({number: task.tid for ns, number in task.numbers if ns in own})
        return [TaskName(0, task.tid, task.tgid, task.comm) for task in tasks]

    def of_events(self, pid: int) -> int | None:
        """The number that events have for this process; None if it is not known."""
        if self.initial:
            return pid
        if pid not in self._kernels:
            self.look()
        return self._kernels.get(pid)

    def names(self, ts_ns: int) -> Iterator[TaskName]:
        """Every task there is, as a name at `ts_ns` (ns)."""
        if self.initial:
            yield from running_tasks(ts_ns)
        else:
            yield TaskName(ts_ns, 0, 0, "swapper")
            yield from (name._replace(ts_ns=ts_ns) for name in self.look())

    def comm(self, tid: int) -> str:
        """The name of a task by its number in events; "" if it cannot be known.  Hostile text."""
        return (read_comm(tid) or "") if self.initial else ""
