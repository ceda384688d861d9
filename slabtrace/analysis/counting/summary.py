# SPDX-License-Identifier: Apache-2.0
"""What one scan of the events leaves in memory, and the names for it: all tables are made of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.counts import SiteCounts
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.site_objects import SiteObjects, site_objects
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.charges import Charges, no_charges
from slabtrace.analysis.processes.processes import Processes, no_processes
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Helper

FOREVER = np.iinfo(np.int64).max


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
    """Names of addresses, stacks, tasks and processes, and the time that times of the recording count from.

    `recorder_pid`: the process that recorded, 0 if not known; `helpers`: further ones of slabtrace's own;
    `page_size`: of the traced machine (bytes).
    """

    symbols: Symbols
    stacks: Stacks
    tasks: Tasks
    started_ns: int
    recorder_pid: int = 0
    helpers: Sequence[Helper] = ()
    page_size: int = 4096
    processes: Processes = field(default_factory=no_processes)
    charges: Charges = field(default_factory=no_charges)

    def objects_of(self, sites: Sites, caches: Caches, held: Counts) -> SiteObjects:
        """What the objects of each site are; see site_objects.py."""
        return site_objects(sites, caches, self.stacks, self.symbols, held, self.page_size)

    def own(self, live: EventBatch) -> NDArray[np.bool_]:
        """Which of the allocations `live` slabtrace itself made, shape (n,)."""
        tgid = np.append(self.tasks.tgid, np.uint32(0))  # row -1, an unknown task: the last
        by = tgid[self.tasks.rows(live.tid, live.ts_ns)]
        own: NDArray[np.bool_] = (by == self.recorder_pid) & (self.recorder_pid != 0)
        some = np.flatnonzero(np.isin(by, [each.pid for each in self.helpers]))
        by, ts_ns = by[some], live.ts_ns[some]
        pids = {*by.tolist()}
        for each in self.helpers:
            if each.pid in pids and each.pid != 0:
                ended = FOREVER if each.ended_ns is None else each.ended_ns
                own[some] |= (by == each.pid) & (ts_ns >= each.started_ns) & (ts_ns <= ended)
        return own
