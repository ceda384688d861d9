# SPDX-License-Identifier: Apache-2.0
"""What one scan of the events leaves in memory, and the names for it: all tables are made of these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.counts import SiteCounts
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.trace.format.batch import EventBatch


@dataclass
class Objects:
    """Objects allocated while recording, all of them or those of some tasks.

    `allocated`: how many at each site, shape (s,); ignore the sites of frees.  `live`: the allocations of
    those not freed, sorted by ptr.
    """

    allocated: Counts
    live: EventBatch

    @cached_property
    def held(self) -> Counts:
        """Number of live objects of each site, shape (s,)."""
        return np.bincount(self.live.site, minlength=len(self.allocated))


@dataclass
class Summary:
    """A scanned trace: counts by site, and the allocations still live (sorted by ptr).

    `unsampled`: events outside the time of slabinfo's samples (account.Unsampled), by site, shape (s,).
    `unseen_allocations`: by address of the cache (unseen_allocations.py).  `carried`: objects that earlier
    parts of a series left, by site, shape (s,).
    """

    sites: Sites
    caches: Caches
    counts: SiteCounts
    live: EventBatch
    unsampled: Counts
    unseen_allocations: dict[int, int]
    carried: Counts

    @cached_property
    def objects(self) -> Objects:
        """All objects allocated while recording."""
        return Objects(self.counts.seen - self.counts.duplicates, self.live)


@dataclass
class Lookup:
    """Names of addresses, stacks and tasks, and the time that times of the recording count from.

    `recorder_pid`: the process that recorded, 0 if not known.
    """

    symbols: Symbols
    stacks: Stacks
    tasks: Tasks
    started_ns: int
    recorder_pid: int = 0
