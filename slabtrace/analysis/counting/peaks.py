# SPDX-License-Identifier: Apache-2.0
"""When each cache had the most live objects, and which call sites had allocated them.

Every event counts, in time order, so the peak is exact.  `caches` and `stat --peaks` both show it.

Example: cache C with call sites X and Y.

    time  event           live objects of C
       1  alloc 0x10 (X)  1
       2  alloc 0x20 (Y)  2
       3  alloc 0x30 (Y)  3   <- the peak: 3 objects at time 3, 2 by Y and 1 by X
       4  free  0x20      2
       5  free  0x30      1
       6  alloc 0x40 (X)  2
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.symbols import Symbols
from slabtrace.analysis.pairing.paired import Paired, Positions
from slabtrace.columns import PEAKS

COLUMNS = PEAKS.names
HOLDERS = 3
Keys: TypeAlias = NDArray[Any]  # uint32 where they fit, which sorts twice as fast; else uint64


class Peaks:
    """The most objects of each cache that were live at once, of those allocated while recording.

    c caches, s sites.  `peak` (objects) and `when_ns` (CLOCK_MONOTONIC) have shape (c,).  `at_peak`, shape
    (s,): how many of the objects live at their cache's peak were allocated at each site.
    """

    def __init__(self, caches: Caches) -> None:
        self._of_site = caches.of_site
        self._level: Counts = np.zeros(len(caches), np.int64)
        self._live: Counts = np.zeros(len(caches.of_site), np.int64)
        self.peak: Counts = np.zeros(len(caches), np.int64)
        self.when_ns: Counts = np.zeros(len(caches), np.int64)
        self.at_peak: Counts = np.zeros(len(caches.of_site), np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk.

        Every change of a level becomes the integer `cache | rank in time | 1 if an object came`.  Sorted,
        the changes of one cache lie together in time order.  Where one object takes another's address,
        the end of the old one sorts first.
        """
        bits = len(paired.free).bit_length() + 1
        word: Any = np.uint32 if len(self._level) << bits < 1 << 32 else np.uint64
        rank = _ranks(paired, word)
        cache: Keys = self._of_site.astype(word) << word(bits)
        came = cache.take(paired.site[paired.allocs]) | rank[paired.allocs] | word(1)
        went = cache.take(paired.ended_site) | rank[paired.end]
        changes = np.concatenate([came, went])
        changes.sort()
        first_keys: Keys = np.arange(len(self._level)).astype(word) << word(bits)
        starts = np.searchsorted(changes, first_keys)
        higher, at = self._follow((changes & word(1)).astype(np.int8), starts)
        if len(higher):
            self._take_peaks(paired, rank, higher, changes[at] & word((1 << bits) - 1))
        self._live += self._by_site(paired.site[paired.allocs]) - self._by_site(paired.ended_site)

    def _follow(self, came: NDArray[np.int8], starts: Positions) -> tuple[Positions, Positions]:
        """Follow the levels through changes by cache, then time; those of a cache begin at its `starts`.

        Returns the caches that rose above their peak, and the change at which each was highest.
        """
        ends = np.append(starts[1:], len(came))
        which = np.flatnonzero(starts < ends)
        if not len(which):
            return which, which
        running = np.cumsum(came * np.int8(2) - np.int8(1), dtype=np.int32)
        start, end = starts[which], ends[which]
        before = np.where(start > 0, running[start - 1], 0)
        highest = np.maximum.reduceat(running, start) - before + self._level[which]
        self._level[which] += running[end - 1] - before
        rose = np.flatnonzero(highest > self.peak[which])
        self.peak[which[rose]] = highest[rose]
        bounds = zip(start[rose].tolist(), end[rose].tolist(), strict=True)
        at = [begin + int(running[begin:until].argmax()) for begin, until in bounds]
        return which[rose], np.array(at, np.intp)

    def _take_peaks(self, paired: Paired, rank: Keys, higher: Positions, peak_key: Keys) -> None:
        """Remember when the caches `higher` had their peak, and what was live then.

        `peak_key`: `rank | 1` of the allocation that made each peak.
        """
        until = np.zeros(len(self._level), peak_key.dtype)
        until[higher] = peak_key
        site, ended_site = paired.site[paired.allocs], paired.ended_site
        came = site[rank[paired.allocs] < until[self._of_site[site]]]
        went = ended_site[rank[paired.end] < until[self._of_site[ended_site]]]
        theirs = np.flatnonzero(until[self._of_site])
        level = self._live + self._by_site(came) - self._by_site(went)
        self.at_peak[theirs] = level[theirs]
        position = (peak_key >> 1).astype(np.intp)
        if paired.order is not None:
            position = paired.begin + paired.order[position - paired.begin]
        self.when_ns[higher] = paired.events.ts_ns[position]

    def _by_site(self, site: Positions) -> Counts:
        return np.bincount(site, minlength=len(self._live))


def _ranks(paired: Paired, word: Any) -> Keys:
    """Twice the rank in time of each event of the chunk, shape (n,): the lowest bit is free."""
    rank: Keys = np.arange(0, 2 * len(paired.free), 2, dtype=word)
    if paired.order is not None:
        rank[paired.begin + paired.order] = rank[paired.begin :].copy()
    return rank


def peaks(found: Peaks, sites: Sites, caches: Caches, symbols: Symbols, begin_ns: int) -> pd.DataFrame:
    """One row per cache that was allocated from, largest peak (bytes) first: COLUMNS.

    Times are since `begin_ns`; held_by has the HOLDERS call sites that had allocated most bytes.
    """
    held = _by_call_site(found, sites, caches)
    totals = held.groupby("cache")[["objects", "bytes"]].sum()
    most = held[held["objects"] > 0].sort_values("bytes", ascending=False, kind="stable")
    holders: dict[int, list[dict[str, Any]]] = {cache: [] for cache in totals.index.tolist()}
    for cache, site, objects, size in most.groupby("cache").head(HOLDERS).itertuples(index=False):
        name = symbols.name(int(site))
        holder = {"call_site": int(site), "symbol": name, "objects": int(objects), "bytes": int(size)}
        holders[cache].append(holder)
    frame = pd.DataFrame(
        {
            "cache": [caches.names[each] for each in holders],
            "ts_ns": np.maximum(found.when_ns[totals.index.to_numpy()] - begin_ns, 0),
            "objects": totals["objects"].to_numpy(),
            "bytes": totals["bytes"].to_numpy(),
            "held_by": list(holders.values()),
        },
        columns=list(COLUMNS),
    )
    return frame.sort_values("bytes", ascending=False, kind="stable").reset_index(drop=True)


def _by_call_site(found: Peaks, sites: Sites, caches: Caches) -> pd.DataFrame:
    """What was live at the peak of its cache, by cache and call_site (columns; objects, bytes)."""
    alloc = np.flatnonzero(~sites.free)
    columns = {"cache": caches.of_site, "call_site": sites["call_site"], "objects": found.at_peak}
    held = pd.DataFrame({name: column[alloc] for name, column in columns.items()})
    held["bytes"] = held["objects"] * sites["bytes_alloc"].astype(np.int64)[alloc]
    return held.groupby(["cache", "call_site"], as_index=False)[["objects", "bytes"]].sum()
