# SPDX-License-Identifier: Apache-2.0
"""The evidence for each group of outstanding objects, gathered from what one scan counted, and its tests.

Example: fixtures/slow-leak.slab, msg_msg-128.  In 24.5 s 48 objects leaked, one every 0.5 s, 4,800 others
were freed: 45 of the 48 are older than 2.1 s, no old object was freed, and no object from before was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.leaks.attribution import Shares, attributed
from slabtrace.analysis.leaks.cache_balance import confirms, gained
from slabtrace.analysis.leaks.evidence import Evidence, Tested, tested
from slabtrace.analysis.pairing.paired import Positions


@dataclass
class GroupTests:
    """Of k groups.  `results`: what the tests say.  `in_cache`, shape (k,): whether the cache grew, too."""

    results: list[Tested]
    in_cache: NDArray[np.bool_]


class Gatherer:
    """Makes the evidence for the k groups of a table; `row`: which of them each of `groups` is (-1: none)."""

    def __init__(self, kept: Kept, groups: Groups, row: Positions, doubtful: Counts) -> None:
        self._kept, self._doubtful = kept, doubtful
        ages, live = kept.ages, kept.objects.live
        self._length = float(ages.length_ns)
        self._horizons = ages.horizons_ns / self._length
        of_site = row[groups.of_site]
        order = np.lexsort((live.ts_ns, of_site[live.site]))
        self._born = (live.ts_ns[order] - ages.begin_ns) / self._length
        self._begin = np.searchsorted(of_site[live.site][order], np.arange(len(doubtful) + 1))
        self._died, self._beyond = (
            _by_row(each, of_site, len(doubtful)) for each in (ages.died, ages.beyond_ns)
        )
        self._cache = np.zeros(len(doubtful), np.intp)
        self._cache[row[row >= 0]] = groups.cache[np.flatnonzero(row[: len(groups)] >= 0)]
        self._shares = self._attributed(of_site)

    def tests(self) -> GroupTests:
        """The tests of all groups."""
        results = [tested(self._evidence(row)) for row in range(len(self._doubtful))]
        in_cache = np.ones(len(results), np.bool_)
        for row, result in enumerate(results):
            if result.horizon and result.older < result.kept:
                in_cache[row] = self._cache_grew(row, result)
        return GroupTests(results, in_cache)

    def _evidence(self, row: int) -> Evidence:
        times, weights = self._older(self._shares.of_group(row))
        return Evidence(
            horizons=self._horizons,
            born=self._born_of(row),
            died=self._died[row].astype(np.int64),
            beyond=self._beyond[row] / self._length,
            older=times,
            weight=weights,
            doubtful=int(self._doubtful[row]),
            until=self._kept.until(),
        )

    def _born_of(self, row: int) -> NDArray[np.float64]:
        return self._born[self._begin[row] : self._begin[row + 1]]

    def _older(self, shares: list[tuple[int, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(when, weight) of the older frees at these sites, ascending."""
        if not shares:
            return np.empty(0), np.empty(0)
        parts = [self._kept.older.of_site(site) for site, _ in shares]
        weight = np.concatenate(
            [np.full(len(part), share) for part, (_, share) in zip(parts, shares, strict=True)]
        )
        when = (np.concatenate(parts) - self._kept.ages.begin_ns) / self._length
        order = np.argsort(when, kind="stable")
        return when[order], weight[order]

    def _cache_grew(self, row: int, result: Tested) -> bool:
        """Whether the group's cache gained enough to hold what the group did."""
        cache = self._cache[row]
        born = np.concatenate(
            [self._born_of(other) for other in np.flatnonzero(self._cache == cache).tolist()]
        )
        frees = np.unique(self._kept.older.site)
        here = frees[self._kept.caches.of_site[frees] == cache]
        when, _ = self._older([(site, 1.0) for site in here.tolist()])
        old = born[born <= 1.0 - result.horizon]
        gone = when[when >= result.horizon]
        return confirms(gained(old, gone, result.horizon), result.kept - result.older)

    def _attributed(self, of_site: Positions) -> Shares:
        first = self._horizons[0] if len(self._horizons) else 2.0
        old = [
            int(np.searchsorted(self._born_of(row), 1.0 - first, side="right"))
            for row in range(len(self._doubtful))
        ]
        of_cache, pairs = self._kept.caches.of_site, self._kept.ages.pairs()
        return attributed(self._kept.older, pairs, of_site, of_cache, self._cache, np.array(old, np.int64))


def _by_row(of_site: NDArray[np.generic], row_of_site: Positions, rows: int) -> NDArray[np.float64]:
    """Sums over the sites of each row: shape (rows, j)."""
    summed = np.zeros((rows, of_site.shape[1]))
    member = np.flatnonzero(row_of_site >= 0)
    np.add.at(summed, row_of_site[member], of_site[member])
    return summed
