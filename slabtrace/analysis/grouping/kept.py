# SPDX-License-Identifier: Apache-2.0
"""Which objects a question about leaks is about, and what one scan of the events found out of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import Ages, Choice
from slabtrace.analysis.counting.summary import Objects
from slabtrace.analysis.grouping.processes import SitesByProcess
from slabtrace.analysis.grouping.task_filter import Allocated, Between, TaskFilter
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import scan
from slabtrace.trace.format.batch import EventBatch


class Question(NamedTuple):
    """Allocations by the processes `pids`, by tasks called as `comms` say, between two times (ns,
    CLOCK_MONOTONIC); empty or None: any.  `by_process`: told apart by process.
    """

    pids: tuple[int, ...] = ()
    comms: tuple[str, ...] = ()
    between: tuple[int, int] | None = None
    by_process: bool = False

    def choice(self, tasks: Tasks) -> Choice | None:
        """Which allocations are meant; None: all."""
        by_task = [TaskFilter(tasks, self.pids, self.comms)] if self.pids or self.comms else []
        if self.between is not None:
            return Between(*self.between, by_task)
        return by_task[0] if by_task else None


@dataclass
class Kept:
    """The answer: the objects meant and how old they grew, by `sites`, which belong to `caches`.

    `process`: of each site, shape (s,), where they are told apart by it.
    """

    sites: Sites
    caches: Caches
    objects: Objects
    ages: Ages
    process: NDArray[np.int64] | None = None


def every_object(sites: Sites, caches: Caches, objects: Objects, ages: Ages) -> Kept:
    """The answer where all objects are meant, whose `ages` saw the whole scan."""
    ages.close(objects.live)
    return Kept(sites, caches, objects, ages)


def chosen(
    choice: Choice | None, batches: Iterable[EventBatch], pairer: Pairer, caches: Caches, ages: Ages
) -> Kept:
    """Scan for the objects of a `choice`; `ages` was made for it."""
    everything = Between(-(2**62), 2**62)
    allocated = Allocated(len(pairer.sites), choice or everything)
    live = allocated.live(scan(batches, pairer, [allocated, ages]))
    ages.close(live)
    return Kept(pairer.sites, caches, Objects(allocated.objects, live), ages)


def by_process(pairs: SitesByProcess, caches: Caches) -> Caches:
    """`caches`, its sites those of `pairs`."""
    return replace(caches, of_site=caches.of_site[pairs.site])
