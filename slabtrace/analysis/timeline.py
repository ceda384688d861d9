# SPDX-License-Identifier: Apache-2.0
"""Each cache's traced usage over time: changes per bucket, and the exact peak of live objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.cache_names import Caches
from slabtrace.analysis.lifetimes import How, Paired
from slabtrace.analysis.sites import Sites

Table = NDArray[np.int64]


class Timeline:
    """Per bucket and cache (both int64, shape (buckets, c)).

    `allocs`; `frees` (seen or inferred); `objects` and `bytes`: the change within the bucket.
    Frees of objects older than the recording count here, with the size of their cache: the line
    stands on slabinfo's baseline, which contains them.
    """

    def __init__(self, sites: Sites, caches: Caches, begin_ns: int, end_ns: int, buckets: int) -> None:
        self._caches = caches
        self.edges = begin_ns + np.arange(1, buckets + 1) * max(end_ns - begin_ns, 1) // buckets
        self.allocs, self.frees, self.objects, self.bytes = (
            np.zeros((buckets, len(caches)), np.int64) for _ in range(4)
        )
        alloc_bytes = sites["bytes_alloc"].astype(np.int64)
        self._bytes = np.where(sites.free, np.array(caches.size, np.int64)[caches.of_site], alloc_bytes)

    def add(self, paired: Paired) -> None:
        """Take one chunk; times outside the recording count for its first or last bucket."""
        bucket = np.searchsorted(self.edges[:-1], paired.events.ts_ns[paired.own], side="right")
        at = np.concatenate([np.zeros(paired.begin, np.intp), bucket])  # by position in paired.events
        own = np.flatnonzero(~paired.free[paired.own]) + paired.begin
        self._count(at[own], paired.site[own], +1)
        self._count(at[paired.end], paired.site[paired.alloc], -1)
        self._count(at[paired.old_frees], paired.site[paired.old_frees], -1)
        twice = paired.ended(How.DUPLICATE)  # came and went once too often
        where = at[paired.end[twice]], self._caches.of_site[paired.site[paired.alloc[twice]]]
        np.subtract.at(self.allocs, where, 1)
        np.subtract.at(self.frees, where, 1)

    def _count(self, bucket: NDArray[np.intp], site: NDArray[np.intp], sign: int) -> None:
        """Count objects of `site` that came (+1) or went (-1) in `bucket`."""
        if not len(bucket):
            return
        first, last = int(bucket.min()), int(bucket.max())
        shape = last - first + 1, len(self._caches)
        cell = (bucket - first) * shape[1] + self._caches.of_site.take(site)
        objects = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
        # float64 within: exact up to 2^53 bytes in one chunk
        total = np.bincount(cell, self._bytes.take(site), shape[0] * shape[1]).reshape(shape)
        rows = slice(first, last + 1)
        self.objects[rows] += sign * objects
        self.bytes[rows] += sign * total.astype(np.int64)
        (self.allocs if sign > 0 else self.frees)[rows] += objects


class Peaks:
    """The most objects of each cache that were live at once, of those allocated while recording.

    `peak`: shape (c,).  Exact: every single event counts, in time order.
    """

    def __init__(self, caches: Caches) -> None:
        self._of_site = caches.of_site
        self._level = np.zeros(len(caches), np.int64)
        self.peak = np.zeros(len(caches), np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk.

        Changes are sorted as integers cache | position | came: those of one cache come together,
        in time order, and where one object takes another's place the old one goes first.
        """
        cache = self._of_site.astype(np.uint64) << np.uint64(32)
        place = np.arange(len(paired.free), dtype=np.uint64) << np.uint64(1)
        if paired.order is not None:
            place[paired.begin + paired.order] = place[paired.begin :].copy()
        own = np.flatnonzero(~paired.free[paired.own]) + paired.begin
        came = cache.take(paired.site[own]) | place[own] | np.uint64(1)
        went = cache.take(paired.site[paired.alloc]) | place[paired.end]
        changes = np.concatenate([came, went])
        if len(changes):
            changes.sort()
            self._follow((changes >> np.uint64(32)).astype(np.intp), (changes & np.uint64(1)).astype(np.int8))

    def _follow(self, cache: NDArray[np.intp], came: NDArray[np.int8]) -> None:
        """Follow the levels through changes sorted by cache, then time."""
        running = np.cumsum(came * np.int8(2) - np.int8(1), dtype=np.int64)
        start = np.flatnonzero(np.append(True, cache[1:] != cache[:-1]))
        before = np.where(start > 0, running[start - 1], 0)
        last = np.append(start[1:], len(cache)) - 1
        which = cache[start]
        highest = np.maximum.reduceat(running, start) - before + self._level[which]
        self.peak[which] = np.maximum(self.peak[which], highest)
        self._level[which] += running[last] - before
