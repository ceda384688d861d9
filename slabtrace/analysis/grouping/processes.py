# SPDX-License-Identifier: Apache-2.0
"""Sites divided by the process that allocated, so that everything counted by site is counted by process.

An event says who was running; a site does not.  A first pass over the events finds which processes allocated
at which site, and a second one treats each of these pairs as a site of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import COLUMNS, Sites
from slabtrace.analysis.names.tasks import UNKNOWN_TGID, Tasks
from slabtrace.trace.format.batch import EventBatch

SITE_BITS = np.uint64(32)  # of a key: site | tgid


class SitesByProcess:
    """p pairs of a site and a process.

    `site` (an index) and `process` (a tgid) have shape (p,).  `sites`: the pairs as sites.  Every site of
    frees is one pair, even if none is among the events: earlier parts of a series may have had some there.
    """

    def __init__(self, batches: Iterable[EventBatch], sites: Sites, tasks: Tasks) -> None:
        self._free, self._tasks = sites.free, tasks
        known = np.flatnonzero(sites.free).astype(np.uint64) << SITE_BITS | np.uint64(UNKNOWN_TGID)
        for batch in batches:
            known = np.union1d(known, self._keys(batch))
        self._known = known
        self.site: NDArray[np.intp] = (known >> SITE_BITS).astype(np.intp)
        self.process: NDArray[np.int64] = (known & np.uint64(0xFFFFFFFF)).astype(np.int64)
        self.sites = Sites()
        self.sites.extend({name: sites[name][self.site] for name in COLUMNS})

    def events(self, batches: Iterable[EventBatch]) -> Iterator[EventBatch]:
        """The same events, with the pairs as their sites."""
        for batch in batches:
            yield batch._replace(site=np.searchsorted(self._known, self._keys(batch)).astype(np.uint32))

    def _keys(self, batch: EventBatch) -> NDArray[np.uint64]:
        tgid = np.append(self._tasks.tgid, UNKNOWN_TGID)  # row -1: the last
        of_event = tgid[self._tasks.rows(batch.tid, batch.ts_ns)].astype(np.uint64)
        of_event[self._free[batch.site]] = UNKNOWN_TGID
        return (batch.site.astype(np.uint64) << SITE_BITS) | of_event
