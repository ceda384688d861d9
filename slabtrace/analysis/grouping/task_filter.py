# SPDX-License-Identifier: Apache-2.0
"""Selecting allocations: by task, with the name and the cgroup it had at the time, and by time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import Choice
from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.paired import How, Paired, Positions
from slabtrace.analysis.processes.processes import Processes
from slabtrace.trace.format.batch import EventBatch


class TaskFilter:
    """Selects events by task: its tgid is in `pids`, and one of the shell patterns `comms` matches its name.

    Empty: any.  Events of unknown tasks are never selected.
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

    def mask(self, events: EventBatch, among: Positions) -> NDArray[np.bool_]:
        """Whether each event at the positions `among` is of a selected task, shape (len(among),).

        Most events are of tasks that are never selected; the as-of join is made only for the others.
        """
        mask = np.isin(events.tid[among], self._candidates)
        near = among[mask]
        mask[mask] = self._chosen[self._tasks.rows(events.tid[near], events.ts_ns[near])]
        return mask


class CgroupFilter:
    """Selects events by cgroup: one that the task's process was in then, or one above it, matches a pattern.

    A process may be in a cgroup of each hierarchy; any of them counts.  Events of unknown tasks are never
    selected.
    """

    def __init__(self, tasks: Tasks, processes: Processes, globs: Sequence[str]) -> None:
        self._tasks, self._processes = tasks, processes
        wanted = processes.cgroups.matching(globs)
        states = [(each.tgid, not wanted.isdisjoint(each.cgroups.items())) for each in processes.states]
        self._chosen = np.array([*(chosen for _, chosen in states), False], np.bool_)  # the last: row -1
        tgids = {tgid for tgid, chosen in states if chosen}
        self._candidates = np.unique(tasks.tid[np.isin(tasks.tgid, list(tgids))])

    def mask(self, events: EventBatch, among: Positions) -> NDArray[np.bool_]:
        """Whether each event at the positions `among` is of a selected task, shape (len(among),)."""
        mask = np.isin(events.tid[among], self._candidates)
        near = among[mask]
        ts_ns = events.ts_ns[near]
        tgid = self._tasks.tgid[self._tasks.rows(events.tid[near], ts_ns)]
        mask[mask] = self._chosen[self._processes.rows(tgid.astype(np.int64), ts_ns)]
        return mask


class Every:
    """Selects what each of `choices` selects."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._choices = choices

    def mask(self, events: EventBatch, among: Positions) -> NDArray[np.bool_]:
        """Whether each event at the positions `among` is selected, shape (len(among),)."""
        mask = np.ones(len(among), np.bool_)
        for choice in self._choices:
            mask[mask] = choice.mask(events, among[mask])
        return mask


class Between:
    """Selects allocations in [begin_ns, end_ns), CLOCK_MONOTONIC."""

    def __init__(self, begin_ns: int, end_ns: int) -> None:
        self.begin_ns, self.end_ns = begin_ns, end_ns

    def mask(self, events: EventBatch, among: Positions) -> NDArray[np.bool_]:
        """Whether each event at the positions `among` is selected, shape (len(among),)."""
        ts_ns = events.ts_ns[among]
        return (ts_ns >= self.begin_ns) & (ts_ns < self.end_ns)


class Nothing:
    """Selects no allocation: the recording supports no list of outstanding objects (trust/foreign.py)."""

    def mask(self, events: EventBatch, among: Positions) -> NDArray[np.bool_]:
        """False for each of the positions `among`, shape (n,)."""
        return np.zeros(len(among), np.bool_)


class Allocated:
    """Counts the selected objects by site: `objects`, shape (s,)."""

    def __init__(self, sites: int, choice: Choice) -> None:
        self._choice = choice
        self.objects: Counts = np.zeros(sites, np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk; an allocation recorded twice counts once, with its second record."""
        self.objects += self._count(paired, paired.allocs)
        self.objects -= self._count(paired, paired.alloc[paired.ended(How.DUPLICATE)])

    def live(self, events: EventBatch) -> EventBatch:
        """The selected ones of the allocations `events`."""
        return events.take(self._choice.mask(events, np.arange(events.size)))

    def _count(self, paired: Paired, allocs: Positions) -> NDArray[np.int64]:
        site = paired.site[allocs[self._choice.mask(paired.events, allocs)]]
        return np.bincount(site, minlength=len(self.objects))
