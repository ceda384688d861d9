# SPDX-License-Identifier: Apache-2.0
"""Which allocations were made by chosen tasks, as those were called when they allocated."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counts import Counts
from slabtrace.analysis.lifetimes import How, Paired, Positions
from slabtrace.analysis.tasks import Tasks
from slabtrace.trace.batch import EventBatch


class TaskFilter:
    """Events of tasks with one of `pids` (tgids; empty: any) and a comm that one of the shell
    patterns `comms` matches (empty: any).  Unknown tasks are never chosen.
    """

    def __init__(self, tasks: Tasks, pids: Collection[int], comms: Collection[str]) -> None:
        self._tasks = tasks
        chosen = np.ones(len(tasks.comm), np.bool_)
        if pids:
            chosen &= np.isin(tasks.tgid, list(pids))
        if comms:
            names = {name for name in set(tasks.comm) if any(fnmatchcase(name, glob) for glob in comms)}
            chosen &= np.array([name in names for name in tasks.comm], np.bool_)
        self._chosen = np.append(chosen, False)  # row -1, an unknown task: the last
        self._candidates = np.unique(tasks.tid[chosen])

    def chosen(self, events: EventBatch, among: Positions) -> Positions:
        """Those of the positions `among` whose event is of a chosen task.

        Most events are of tasks that never had a chosen row; the as-of join is for the others.
        """
        near = among[np.isin(events.tid[among], self._candidates)]
        rows = self._tasks.rows(events.tid[near], events.ts_ns[near])
        chosen: Positions = near[self._chosen[rows]]
        return chosen


class Allocated:
    """Counts the objects that chosen tasks allocated, by site: `objects`, shape (s,), int64."""

    def __init__(self, sites: int, tasks: TaskFilter) -> None:
        self._tasks = tasks
        self.objects: Counts = np.zeros(sites, np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk; an allocation recorded twice counts once, with its second record."""
        self.objects += self._count(paired, paired.allocs)
        self.objects -= self._count(paired, paired.alloc[paired.ended(How.DUPLICATE)])

    def live(self, events: EventBatch) -> EventBatch:
        """Those of the allocations `events` that the chosen tasks made."""
        return events.take(self._tasks.chosen(events, np.arange(events.size)))

    def _count(self, paired: Paired, allocs: Positions) -> NDArray[np.int64]:
        site = paired.site[self._tasks.chosen(paired.events, allocs)]
        return np.bincount(site, minlength=len(self.objects))
