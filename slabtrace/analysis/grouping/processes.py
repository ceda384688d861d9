# SPDX-License-Identifier: Apache-2.0
"""Sites divided by who allocated (whose.py), so that what is counted by site is counted by process, too.

An event says who was running; a site does not.  So each pair of a site and a process with outstanding objects
becomes a site of its own.  What others allocated at a site stays with that site: a build has millions of
pairs, of which a few thousand leave anything.  Of more than MOST_PAIRS, those with most bytes outstanding are
distinguished; the objects of the others are one row of process UNKNOWN_TGID for each site.

Example: at site 3, process 70 leaves two objects, and process 80 frees all of its own.

    pair  site  process
       0     3        0   what 80 allocated, and every other process without an outstanding object
       1     3       70   what 70 allocated
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.grouping.whose import Distinguished
from slabtrace.analysis.names.sites import COLUMNS, Sites
from slabtrace.analysis.names.tasks import UNKNOWN_TGID
from slabtrace.trace.format.batch import EventBatch

SITE_BITS = np.uint64(32)  # of a key: site | tgid
MOST_PAIRS = 1 << 17  # with outstanding objects; each takes 0.9 KB of counters (counting/ages.py)


class SitesByProcess:
    """p pairs of a site and a process.

    `site` (an index), `process` (a number of `whose`): shape (p,).  `sites`: the pairs as sites.  Every
    site of frees is one pair, even if none is among the events: earlier parts of a series may have had some.
    """

    def __init__(self, live: EventBatch, sites: Sites, whose: Distinguished) -> None:
        """`live`: the outstanding objects; `whose`: what is distinguished, here called a process."""
        self._free, self._whose = sites.free, whose
        keys, objects = np.unique(self._keys(live), return_counts=True)
        size = sites["bytes_alloc"][(keys >> SITE_BITS).astype(np.intp)].astype(np.int64)
        largest = np.argsort(-objects * size, kind="stable")[:MOST_PAIRS]
        whole = np.arange(len(sites), dtype=np.uint64) << SITE_BITS | np.uint64(UNKNOWN_TGID)
        self._known = known = np.union1d(whole, keys[largest])
        self.site: NDArray[np.intp] = (known >> SITE_BITS).astype(np.intp)
        self.process: NDArray[np.int64] = (known & np.uint64(0xFFFFFFFF)).astype(np.int64)
        self.sites = Sites()
        self.sites.extend({name: sites[name][self.site] for name in COLUMNS})

    def events(self, batches: Iterable[EventBatch]) -> Iterator[EventBatch]:
        """The same events, with the pairs as their sites."""
        for batch in batches:
            keys = self._keys(batch)
            place = np.searchsorted(self._known, keys, side="right") - 1
            strange = self._known[place] != keys
            whole = keys[strange] >> SITE_BITS << SITE_BITS  # the first pair of the site
            place[strange] = np.searchsorted(self._known, whole)
            yield batch._replace(site=place.astype(np.uint32))

    def _keys(self, batch: EventBatch) -> NDArray[np.uint64]:
        of_event = self._whose.numbers(batch).astype(np.uint64)
        of_event[self._free[batch.site]] = UNKNOWN_TGID
        return (batch.site.astype(np.uint64) << SITE_BITS) | of_event
