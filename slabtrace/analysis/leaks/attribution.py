# SPDX-License-Identifier: Apache-2.0
"""To which group the frees of older objects belong.  Who allocated such an object was not recorded.

What is known is the cache, and where it was freed.  Old objects that were both allocated and freed while
recording say which groups are freed there; the frees of older objects are divided in the same proportion.
Frees at a place where no recorded old object was freed are divided among the groups of the cache of which
none was freed as an old object, by what they keep; if there is none such, among all groups of the cache.

Example: kmalloc-64 has the groups A (kept 64), B (kept 10, 90 recorded frees at f) and C (kept 6, 30
frees at f).

    40 older frees at f: 30 to B, 10 to C          8 older frees at g, where nothing else was freed: all to A
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.pairing.paired import Positions


@dataclass
class Shares:
    """Which share of the older frees at each site counts for each group: s entries, sorted by group.

    `group`, `site` (of the free), `share` (0 to 1), each of shape (s,).
    """

    group: Positions
    site: Positions
    share: NDArray[np.float64]

    def of_group(self, group: int) -> list[tuple[int, float]]:
        """(site, share) of the older frees that count for a group."""
        begin, end = np.searchsorted(self.group, [group, group + 1])
        return list(zip(self.site[begin:end].tolist(), self.share[begin:end].tolist(), strict=True))


def attributed(
    older: OlderFrees,
    pairs: tuple[Positions, Positions, Counts],
    group_of_site: Positions,
    cache_of_site: Positions,
    cache_of_group: Positions,
    kept: Counts,
) -> Shares:
    """Divide `older` among g groups.

    `pairs`: see Ages.pairs.  `group_of_site` (-1: none), `cache_of_site`: shape (s,).  `cache_of_group`,
    `kept` (old live objects): shape (g,).
    """
    frees = np.unique(older.site)
    member = group_of_site[pairs[0]] if len(pairs[0]) else np.empty(0, np.intp)
    known = member >= 0
    by_free: dict[int, dict[int, float]] = {}
    freed_ever = np.zeros(len(kept), np.bool_)
    freed_ever[member[known]] = True
    for group, site, number in zip(
        member[known].tolist(), pairs[1][known].tolist(), pairs[2][known].tolist(), strict=True
    ):
        weights = by_free.setdefault(site, {})
        weights[group] = weights.get(group, 0.0) + number
    rows = [
        (group, site, weight)
        for site in frees.tolist()
        for group, weight in _divided(
            by_free.get(site) or _by_kept(int(cache_of_site[site]), cache_of_group, kept, freed_ever)
        )
    ]
    rows.sort()
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return Shares(np.array(columns[0], np.intp), np.array(columns[1], np.intp), np.array(columns[2], float))


def _by_kept(
    cache: int, cache_of_group: Positions, kept: Counts, freed_ever: NDArray[np.bool_]
) -> dict[int, float]:
    """What the groups of a cache keep, where nothing else says whose objects are freed."""
    some = np.flatnonzero((cache_of_group == cache) & (kept > 0))
    never_freed = some[~freed_ever[some]]
    chosen = never_freed if len(never_freed) else some
    return dict(zip(chosen.tolist(), kept[chosen].astype(float).tolist(), strict=True))


def _divided(weights: dict[int, float]) -> list[tuple[int, float]]:
    total = sum(weights.values())
    return [(group, weight / total) for group, weight in weights.items() if weight > 0]
