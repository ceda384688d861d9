# SPDX-License-Identifier: Apache-2.0
"""The evidence for each group of outstanding objects, gathered from what one scan counted, and its tests.

Example: fixtures/slow-leak.slab, msg_msg-128.  In 24.5 s 48 objects leaked, one every 0.5 s, 4,800 others
were freed: 45 of the 48 are older than 2.1 s, no old object was freed, and no object from before was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.leaks.attribution import Shares, attributed
from slabtrace.analysis.leaks.cache_balance import confirms, gained
from slabtrace.analysis.leaks.evidence import Evidence, Tested, tested
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.statistics.discovery import LEVEL


@dataclass
class GroupTests:
    """Of k groups.  `results`: what the tests say.  `in_cache`, shape (k,): whether the cache grew, too."""

    results: list[Tested]
    in_cache: NDArray[np.bool_]


@dataclass
class Rows:
    """k rows that are tested: groups, or findings by their owners.

    `group_of_site`, shape (s,), `cache_of_group`, shape (g,): the groups.  `group`, shape (k,): of each row.
    `member`, shape (n,): the row of each live object, -1 for none.  `doubtful`, shape (k,): how many of the
    objects of each row may have been freed unseen.  `task`, shape (k,): the task that a row is of, which
    frees its own objects; -1, and None: any.
    """

    group_of_site: Positions
    cache_of_group: Positions
    group: Positions
    member: Positions
    doubtful: Counts
    task: Counts | None = None


class Gatherer:
    """Makes the evidence for `rows`."""

    def __init__(self, kept: Kept, rows: Rows) -> None:
        self._kept, self._rows = kept, rows
        ages, live = kept.ages, kept.objects.live
        self._length = float(ages.length_ns)
        self._horizons = ages.horizons_ns / self._length
        order = np.lexsort((live.ts_ns, rows.member))
        self._born = (live.ts_ns[order] - ages.begin_ns) / self._length
        self._begin = np.searchsorted(rows.member[order], np.arange(len(rows.group) + 1))
        groups = len(rows.cache_of_group)
        self._died, self._beyond = (
            _by_group(each, rows.group_of_site, groups) for each in (ages.died, ages.beyond_ns)
        )
        self._cache_of_object = kept.caches.of_site[live.site]
        self._shares = self._attributed()

    def tests(self) -> GroupTests:
        """The tests of all rows."""
        results = [tested(self._evidence(row)) for row in range(len(self._rows.group))]
        in_cache = np.ones(len(results), np.bool_)
        for row, result in enumerate(results):
            if result.horizon and result.p_growth < LEVEL:
                in_cache[row] = self._cache_grew(row, result)
        return GroupTests(results, in_cache)

    def _evidence(self, row: int) -> Evidence:
        group, task = int(self._rows.group[row]), self._task(row)
        times, weights = self._older(self._shares.of_group(group), task)
        return Evidence(
            horizons=self._horizons,
            born=self._born_of(row),
            died=self._died[group].astype(np.int64),
            beyond=self._beyond[group] / self._length,
            older=times,
            weight=weights,
            doubtful=int(self._rows.doubtful[row]),
            until=self._kept.until(),
        )

    def _born_of(self, row: int) -> NDArray[np.float64]:
        return self._born[self._begin[row] : self._begin[row + 1]]

    def _task(self, row: int) -> int | None:
        """The task whose objects a row is about; None: of any."""
        if self._rows.task is None or self._rows.task[row] < 0:
            return None
        return int(self._rows.task[row])

    def _older(
        self, shares: list[tuple[int, float]], task: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(when, weight) of the older frees at these sites, ascending; `task`: that it may have made."""
        if not shares:
            return np.empty(0), np.empty(0)
        parts = [self._kept.older.of_site(site, task) for site, _ in shares]
        weight = np.concatenate(
            [np.full(len(part), share) for part, (_, share) in zip(parts, shares, strict=True)]
        )
        when = (np.concatenate(parts) - self._kept.ages.begin_ns) / self._length
        order = np.argsort(when, kind="stable")
        return when[order], weight[order]

    def _cache_grew(self, row: int, result: Tested) -> bool:
        """Whether the row's cache gained enough to hold what the row did."""
        cache = self._rows.cache_of_group[self._rows.group[row]]
        begin_ns, live = self._kept.ages.begin_ns, self._kept.objects.live
        born = (live.ts_ns[self._cache_of_object == cache] - begin_ns) / self._length
        frees = np.unique(self._kept.older.site)
        here = frees[self._kept.caches.of_site[frees] == cache]
        when, _ = self._older([(site, 1.0) for site in here.tolist()])
        old = born[born <= 1.0 - result.horizon]
        gone = when[when >= result.horizon]
        return confirms(gained(old, gone, result.horizon), result.kept - result.older)

    def _attributed(self) -> Shares:
        """The shares of all groups in the older frees."""
        first = self._horizons[0] if len(self._horizons) else 2.0
        live, rows = self._kept.objects.live, self._rows
        old = live.ts_ns - self._kept.ages.begin_ns <= (1.0 - first) * self._length
        kept = np.bincount(rows.group_of_site[live.site[old]], minlength=len(rows.cache_of_group))
        of_cache, pairs = self._kept.caches.of_site, self._kept.ages.pairs()
        return attributed(self._kept.older, pairs, rows.group_of_site, of_cache, rows.cache_of_group, kept)


def _by_group(of_site: NDArray[Any], group_of_site: Positions, groups: int) -> NDArray[np.float64]:
    """Sums over the sites of each group: shape (groups, j)."""
    summed = np.zeros((groups, of_site.shape[1]))
    member = np.flatnonzero(group_of_site >= 0)
    np.add.at(summed, group_of_site[member], of_site[member])
    return summed
