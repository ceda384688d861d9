# SPDX-License-Identifier: Apache-2.0
"""Which task ran on each CPU, where events do not say so: from sched_switch and LTTng's list of processes.

Before the first switch of a CPU it is not known.
"""

from __future__ import annotations

import re

from slabtrace.importing.records import Facts, Task, Texts
from slabtrace.importing.text.fields import MASK32, text

_NEXT = re.compile(rb'next_comm = "((?:[^"\\]|\\.){0,64})", next_tid = (\d{1,10})')
_TID, _PID = re.compile(rb"\btid = (\d{1,10})"), re.compile(rb"\bpid = (\d{1,10})")
_NAME = re.compile(rb'\b(?:procname|name) = "((?:[^"\\]|\\.){0,64})"')
MOST_TASKS = 1 << 22  # as the kernel's own limit of pids


class TasksOnCpus:
    """`running`: the task of each CPU, where it is known; notes in `facts` that tasks are derived."""

    def __init__(self, texts: Texts, facts: Facts) -> None:
        self._texts, self._facts = texts, facts
        self.running: dict[int, int] = {}
        self._group: dict[int, int] = {}  # tgid by tid

    def note(self, event: bytes, cpu: int, payload: bytes) -> None:
        """Take the fields of a sched_switch, or of a process of the list."""
        if event == b"sched_switch":
            found = _NEXT.search(payload)
            if found:
                tid = int(found[2]) & MASK32
                self.running[cpu] = self._texts.task(Task(tid, self._group.get(tid, 0), text(found[1])))
                self._facts.tasks_derived = True
            return
        one, group = _TID.search(payload), _PID.search(payload)
        if one and group and len(self._group) < MOST_TASKS:
            self._group[int(one[1])] = int(group[1]) & MASK32

    def named(self, contexts: bytes) -> int:
        """The task that an event's contexts name; -1: they name none."""
        tid = _TID.search(contexts) if contexts else None
        if not tid:
            return -1
        group, name = _PID.search(contexts), _NAME.search(contexts)
        tgid = int(group[1]) & MASK32 if group else 0
        return self._texts.task(Task(int(tid[1]) & MASK32, tgid, text(name[1]) if name else ""))
