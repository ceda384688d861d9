# SPDX-License-Identifier: Apache-2.0
"""Each cache's traced usage over time: how many objects came and went in each part of the recording."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.missed_frees import MissedFrees
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import How, Paired, Positions

Table = NDArray[np.int64]
CELLS = 1 << 22  # of a table: 32 MiB; the rows of `usage` take ten times that
INFERRED = (How.INFERRED, How.PAGE_END, How.FOUND_FREE)  # the free was missed


class Timeline:
    """Objects that came (were allocated) and went (were freed) in each of `buckets` parts of the recording.

    They are counted by sort: one cache, one size and one call site that allocated.  `cache` (row of Caches,
    ascending), `size` (bytes) and `call_site` (address) have shape (k,); `came` and `went` have shape
    (buckets, k).  If a table would have more than CELLS, there are fewer buckets than `asked`; the counts
    stay exact.
    Frees of objects older than the recording count as gone, with the size of their cache and call site 0: who
    allocated them is not known, and slabinfo's baseline, on which usage is drawn, contains them.  Where a
    recording has only some objects of a cache, there is no such baseline: `old_frees` False leaves them out.
    A free that was missed counts when it was inferred; `missed` knows since when it may have happened (None:
    no free was missed).
    `carried`, shape (k,): objects that earlier parts of a series left.
    """

    def __init__(
        self, sites: Sites, caches: Caches, begin_ns: int, end_ns: int, buckets: int, old_frees: bool = True
    ) -> None:
        of_cache = np.array(caches.size, np.int64)[caches.of_site]
        size = np.where(sites.free, of_cache, sites["bytes_alloc"].astype(np.int64))
        call_site = np.where(sites.free, np.uint64(0), sites["call_site"]).view(np.int64)
        keys = np.stack([caches.of_site.astype(np.int64), size, call_site])
        sorts, of_site = np.unique(keys, axis=1, return_inverse=True)
        self._sort_of_site: Positions = of_site.reshape(-1)
        self.asked, buckets = buckets, max(min(buckets, CELLS // max(sorts.shape[1], 1)), 1)
        self._begin_ns = begin_ns
        self._width = max(-(-(end_ns - begin_ns) // buckets), 1)
        self.ends_ns: Table = np.arange(1, buckets + 1) * self._width  # since `begin_ns`
        self.cache, self.size = sorts[:2]
        self.call_site: NDArray[np.uint64] = np.ascontiguousarray(sorts[2]).view(np.uint64)
        self.came, self.went = (np.zeros((buckets, sorts.shape[1]), np.int64) for _ in range(2))
        self.carried: Table = np.zeros(sorts.shape[1], np.int64)
        self.missed: MissedFrees | None = None
        self.old_frees = old_frees

    def add(self, paired: Paired) -> None:
        """Take one chunk; times outside the recording count in its first or last bucket."""
        at = (paired.events.ts_ns - self._begin_ns) // self._width
        allocs, old = paired.allocs, paired.old_frees if self.old_frees else paired.old_frees[:0]
        self._add_missed(paired)
        if len(at) and at[paired.own].min(initial=0) < 0:
            before = at[allocs] < 0
            early = self._sort_of_site.take(paired.site[allocs[before]])
            self.carried += np.bincount(early, minlength=len(self.carried))
            allocs = allocs[~before]
        np.clip(at, 0, len(self.ends_ns) - 1, out=at)
        self._count(self.came, at[allocs], paired.site[allocs])
        self._count(self.went, at[paired.end], paired.ended_site)
        self._count(self.went, at[old], paired.site[old])
        twice = paired.ended(How.DUPLICATE)  # counted once too often above
        where = at[paired.end[twice]], self._sort_of_site[paired.ended_site[twice]]
        np.subtract.at(self.came, where, 1)
        np.subtract.at(self.went, where, 1)

    def _add_missed(self, paired: Paired) -> None:
        missed = np.flatnonzero(np.isin(paired.how, INFERRED))
        if not len(missed):
            return
        self.missed = self.missed or MissedFrees(*self.came.shape)
        alloc, end = (
            (paired.events.ts_ns[at[missed]] - self._begin_ns) / self._width
            for at in (paired.alloc, paired.end)
        )
        self.missed.add(self._sort_of_site[paired.ended_site[missed]], alloc, end)

    def maybe_freed(self, which: Positions) -> tuple[Table, NDArray[np.float64]]:
        """Of `levels(which)`: objects that may be freed, and what they count: see MissedFrees.

        Both of shape (buckets, len(which)).
        """
        if self.missed is None:
            none = np.zeros((len(self.ends_ns), len(which)), np.int64)
            return none, none.astype(np.float64)
        return self.missed.open(which), self.missed.weights(which)

    def levels(self, which: Positions) -> Table:
        """Objects of the sorts `which` at the end of each bucket: shape (buckets, len(which))."""
        change = self.came[:, which] - self.went[:, which]
        change[:1] += self.carried[which]
        return np.cumsum(change, axis=0)

    def _count(self, table: Table, bucket: Table, site: Positions) -> None:
        """Count objects of `site` in `bucket` of `table`."""
        if not len(bucket):
            return
        first, last = int(bucket.min()), int(bucket.max())
        rows, sorts = last - first + 1, table.shape[1]
        cell = self._sort_of_site.take(site)
        if rows > 1:
            cell += (bucket - first) * sorts
        table[first : last + 1] += np.bincount(cell, minlength=rows * sorts).reshape(rows, sorts)
