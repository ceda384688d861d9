# SPDX-License-Identifier: Apache-2.0
"""By what the processes that allocate are distinguished: pid, command, cgroup, unit or container.

Outstanding objects can also be distinguished by the memory cgroup they are charged to (charged.py).

Each distinct text has a number, 0 is not known; so objects can be counted by whom they are of.  A process
without a command line, such as a kernel thread, is called by its name in brackets.

Example: 1,000 processes ran `postqueue -p` one by one: by "process" 1,000 numbers, by "command" one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.tasks import UNKNOWN_TGID, Tasks
from slabtrace.analysis.processes.cgroup_names import cgroup_name
from slabtrace.analysis.processes.processes import Processes
from slabtrace.analysis.processes.states import State
from slabtrace.trace.format.batch import EventBatch

OF_PROCESSES = ("process", "command", "cgroup", "unit", "container")
CHARGED = "charged"
KINDS = (*OF_PROCESSES, CHARGED)
Numbers = NDArray[np.int64]


class Distinguished(Protocol):
    """Numbers for whomever objects are of; 0 is not known."""

    by: str

    def numbers(self, events: EventBatch) -> Numbers:
        """Whose each allocation is, shape (n,)."""
        ...

    def text(self, number: int) -> str:
        """What a number stands for; empty if it is not known.  Hostile text: escape it."""
        ...


class Whose:
    """Numbers for whoever allocated; `by`: one of OF_PROCESSES, ValueError for another."""

    def __init__(self, tasks: Tasks, processes: Processes, by: str) -> None:
        if by not in OF_PROCESSES:
            raise ValueError(f"by is one of {', '.join(KINDS)}, not {by!r}")
        self._tasks, self._processes, self.by = tasks, processes, by
        self._number: dict[str, int] = {"": 0}
        self.texts = [""]

    @cached_property
    def _of_state(self) -> Numbers:
        return self._numbered(map(self._named(), self._processes.states))

    @cached_property
    def _of_task(self) -> Numbers:
        comms = self._tasks.comm if self.by == "command" else [""] * len(self._tasks.comm)
        return self._numbered(comm and f"[{comm}]" for comm in comms)

    def numbers(self, events: EventBatch) -> Numbers:
        """Whose each event is, by its task and time, shape (n,); by "process" the tgid."""
        row = self._tasks.rows(events.tid, events.ts_ns)
        tgid = np.append(self._tasks.tgid, UNKNOWN_TGID)[row].astype(np.int64)  # row -1: the last
        if self.by == "process":
            return tgid
        state = self._processes.rows(tgid, events.ts_ns)
        found: Numbers = np.append(self._of_state, 0)[state]
        return np.where(found == 0, np.append(self._of_task, 0)[row], found)

    def text(self, number: int) -> str:
        """What a number stands for; empty if it is not known.  Hostile text: escape it."""
        if self.by == "process":
            return str(number) if number else ""
        return self.texts[number]

    def _numbered(self, texts: Iterable[str]) -> Numbers:
        """The number of each text; new ones get the next."""
        found = []
        for text in texts:
            number = self._number.setdefault(text, len(self.texts))
            if number == len(self.texts):
                self.texts.append(text)
            found.append(number)
        return np.array(found, np.int64)

    def _named(self) -> Callable[[State], str]:
        path = self._processes.path
        return {
            "command": lambda state: state.command,
            "cgroup": path,
            "unit": lambda state: cgroup_name(path(state)).unit,
            "container": lambda state: cgroup_name(path(state)).container,
        }[self.by]
