# SPDX-License-Identifier: Apache-2.0
"""Selecting objects by task and time, and the data about them that one scan collects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import Ages, Choice
from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.counting.summary import Objects
from slabtrace.analysis.grouping.processes import SitesByProcess
from slabtrace.analysis.grouping.task_filter import Allocated, Between, CgroupFilter, Every, TaskFilter
from slabtrace.analysis.grouping.whose import Distinguished
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import scan
from slabtrace.analysis.processes.processes import Processes
from slabtrace.trace.format.batch import EventBatch


class Question(NamedTuple):
    """Which allocations are asked for.

    `pids`: by these processes; `comms`: by tasks whose name matches one of these shell patterns; `between`:
    in this time (ns, CLOCK_MONOTONIC); `cgroups`: in a cgroup that matches one of these patterns, or below
    one.  Empty or None: any.  `by_whom`: what is distinguished of who allocated, one of whose.KINDS; empty:
    nothing.
    """

    pids: tuple[int, ...] = ()
    comms: tuple[str, ...] = ()
    between: tuple[int, int] | None = None
    by_whom: str = ""
    cgroups: tuple[str, ...] = ()

    def choice(self, tasks: Tasks, processes: Processes) -> Choice | None:
        """Selects the allocations; None: all."""
        choices: list[Choice] = []
        if self.between is not None:
            choices.append(Between(*self.between))
        if self.pids or self.comms:
            choices.append(TaskFilter(tasks, self.pids, self.comms))
        if self.cgroups:
            choices.append(CgroupFilter(tasks, processes, self.cgroups))
        return Every(choices) if choices else None


@dataclass
class Kept:
    """The answer: the selected objects and their ages, by `sites`, and the `caches` of these.

    `older`: frees of objects from before the time that is judged.  `until_ns`: no object was asked for
    that was allocated later (None: the end).  `process`: of each site, shape (s,), a number of `whose`, where
    it is distinguished who allocated.
    """

    sites: Sites
    caches: Caches
    objects: Objects
    ages: Ages
    older: OlderFrees
    until_ns: int | None = None
    process: NDArray[np.int64] | None = None
    whose: Distinguished | None = None

    def until(self) -> float:
        """The time up to which objects were asked for, by the time that is judged (0 to 1)."""
        if self.until_ns is None:
            return 1.0
        return min(max((self.until_ns - self.ages.begin_ns) / self.ages.length_ns, 0.0), 1.0)


def every_object(sites: Sites, caches: Caches, objects: Objects, ages: Ages, older: OlderFrees) -> Kept:
    """The answer for all objects.  `ages` and `older` must have seen the whole scan."""
    return Kept(sites, caches, objects, ages, older.close())


def chosen(
    choice: Choice | None,
    batches: Iterable[EventBatch],
    pairer: Pairer,
    caches: Caches,
    ages: Ages,
    older: OlderFrees,
) -> Kept:
    """Scan for the objects that `choice` selects.  `ages` must have been made with the same choice."""
    allocated = Allocated(len(pairer.sites), choice or Every([]))
    live = allocated.live(scan(batches, pairer, [allocated, ages, older]))
    return Kept(pairer.sites, caches, Objects(allocated.objects, live), ages, older.close())


def by_process(pairs: SitesByProcess, caches: Caches) -> Caches:
    """`caches`, with the sites of `pairs` instead."""
    return replace(caches, of_site=caches.of_site[pairs.site])
