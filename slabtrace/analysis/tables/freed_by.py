# SPDX-License-Identifier: Apache-2.0
"""Where the freed siblings of outstanding objects were freed: the columns freed_by and others_freed_by.

`freed_by` is of the group itself.  Where none of it was freed, `others_freed_by` has the places that freed
objects of the same call site, with other stacks or of other tasks; or else of the same cache, if all its
objects are of one kind: not of kmalloc caches, which anybody may use, and of merged ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.freeing.paths import MOST_PATHS, FreePaths, Place, by_key
from slabtrace.analysis.freeing.releases import COLUMNS, Pairs, Releases
from slabtrace.analysis.freeing.stopped import old_enough, stopped
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.names.frames import comparable_cache
from slabtrace.analysis.pairing.paired import Positions

Entries = list[dict[str, Any]]
LEAST_OTHERS = 8  # objects of other groups that were freed: fewer are no pattern
ANYTHING = ("kmalloc-", "(")  # caches of objects of any kind, and those without a name


@dataclass
class Rows:
    """k rows of a table of groups.

    `group`, shape (k,): the group of each.  `freed`, shape (k,): how many of its objects were freed.
    `unsure`, shape (k,): how many of the outstanding ones may have been freed unseen.  `alike`, shape (k,):
    whether all of them have one stack, as far as is known.
    """

    group: Positions
    freed: Counts
    unsure: Counts
    alike: np.ndarray[tuple[int], np.dtype[np.bool_]]


def freed_by(kept: Kept, lookup: Lookup, groups: Groups, rows: Rows) -> tuple[list[Entries], list[Entries]]:
    """(freed_by, others_freed_by) of each row; all empty where it was not counted (a live view)."""
    releases = kept.ages.releases
    if releases is None or not len(rows.group):
        return [[] for _ in rows.group], [[] for _ in rows.group]
    pairs = releases.pairs()
    paths = FreePaths(pairs, kept.sites, lookup.symbols, lookup.stacks)
    of_group = by_key(groups.of_site[pairs.site], rows.group.tolist())
    siblings = _Siblings(kept, releases, pairs, groups, sum(map(len, of_group.values())))
    own: list[Entries] = []
    for row, group in enumerate(rows.group.tolist()):
        mine = of_group[group]
        places = paths.places(mine)[:MOST_PATHS]
        entries = [paths.entry(each, int(rows.freed[row]), lookup.started_ns) for each in places]
        if rows.alike[row]:
            unseen = max(int(rows.freed[row] - pairs.objects[mine].sum()), 0)
            siblings.mark(entries, places, group, mine, int(rows.unsure[row]) + unseen)
        own.append(entries)
    none = [row for row, entries in enumerate(own) if not entries and not rows.freed[row]]
    others = _others(kept, groups, rows.group[none], pairs, paths, lookup.started_ns)
    by_row = dict(zip(none, others, strict=True))
    return own, [by_row.get(row, []) for row in range(len(own))]


class _Siblings:
    """All objects of each group by when they were allocated, and which places stopped freeing them."""

    def __init__(self, kept: Kept, releases: Releases, pairs: Pairs, groups: Groups, tests: int) -> None:
        live = kept.objects.live
        self._releases, self._pairs, self._tests = releases, pairs, tests
        cell = groups.of_site[live.site] * COLUMNS + releases.parts(live.ts_ns)
        self._live = np.bincount(cell, minlength=len(groups) * COLUMNS).reshape(-1, COLUMNS)

    def mark(self, entries: Entries, places: list[Place], group: int, mine: Positions, unsure: int) -> None:
        """Set `stopped` of the entries of a group's places; `mine`: the pairs of the group."""
        pairs, releases = self._pairs, self._releases
        every = (pairs.when[mine].sum(axis=0) + self._live[group])[1:]
        length_ns = releases.end_ns - releases.begin_ns
        for entry, place in zip(entries, places, strict=True):
            longest_ns = int(pairs.longest_ns[place.pairs].max())
            until = old_enough(longest_ns, releases.part_ns, length_ns)
            freed = pairs.when[place.pairs].sum(axis=0)[1:]
            entry["stopped"] = stopped(freed, every, until, unsure, self._tests)


def _others(
    kept: Kept, groups: Groups, wanted: Positions, pairs: Pairs, paths: FreePaths, started_ns: int
) -> list[Entries]:
    """others_freed_by of each of the groups `wanted`, of which nothing was freed."""
    found: list[Entries] = []
    call_site, cache = kept.sites["call_site"][pairs.site], kept.caches.of_site[pairs.site]
    for group in wanted.tolist():
        here = cache == groups.cache[group]
        rows, of = np.flatnonzero(here & (call_site == groups.call_site[group])), "call site"
        if pairs.objects[rows].sum() < LEAST_OTHERS and _of_one_kind(kept, int(groups.cache[group])):
            rows, of = np.flatnonzero(here), "cache"
        freed = int(pairs.objects[rows].sum())
        places = paths.places(rows)[:MOST_PATHS] if freed >= LEAST_OTHERS else []
        found.append([{**paths.entry(each, freed, started_ns), "of": of} for each in places])
    return found


def _of_one_kind(kept: Kept, cache: int) -> bool:
    name = comparable_cache(kept.caches.names[cache])
    return not name.startswith(ANYTHING) and not kept.caches.aliases[cache]
