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
from slabtrace.analysis.freeing.paths import (
    COUNTED,
    INFERRED,
    MOST_PATHS,
    UNLISTED,
    FreePaths,
    Place,
    by_key,
    nowhere,
)
from slabtrace.analysis.freeing.releases import COLUMNS, MISSED, Releases
from slabtrace.analysis.freeing.stopped import Siblings, old_enough, stopped
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
    if kept.ages.releases is None or not len(rows.group):
        return [[] for _ in rows.group], [[] for _ in rows.group]
    made = _Made(kept, lookup, groups, kept.ages.releases, rows)
    own = [made.of_row(row) for row in range(len(rows.group))]
    others = [[] if entries or rows.freed[row] else made.of_others(row) for row, entries in enumerate(own)]
    return own, others


class _Made:
    """Makes the entries of `rows`."""

    def __init__(self, kept: Kept, lookup: Lookup, groups: Groups, releases: Releases, rows: Rows) -> None:
        self._kept, self._groups, self._rows = kept, groups, rows
        self._releases, self._pairs = releases, releases.pairs()
        self._started_ns = lookup.started_ns
        self._paths = FreePaths(self._pairs, kept.sites, lookup.symbols, lookup.stacks)
        self._of_group = by_key(groups.of_site[self._pairs.site], rows.group.tolist())
        self._tests = sum(map(len, self._of_group.values()))  # pairs: no fewer than places
        live = kept.objects.live
        cell = groups.of_site[live.site] * COLUMNS + releases.parts(live.ts_ns)
        self._live = np.bincount(cell, minlength=len(groups) * COLUMNS).reshape(-1, COLUMNS)

    def of_row(self, row: int) -> Entries:
        """freed_by."""
        pairs, freed = self._of_group[int(self._rows.group[row])], int(self._rows.freed[row])
        places, missed = self._paths.places(pairs)[:MOST_PATHS], self._missed(pairs)
        entries = [self._paths.entry(each, freed, missed, self._started_ns) for each in places]
        counted = max(freed - int(self._pairs.objects[pairs].sum()), 0)
        if self._rows.alike[row]:
            self._mark(entries, places, pairs, row, counted)
        unseen = ((INFERRED, missed), (UNLISTED if self._releases.unlisted else COUNTED, counted))
        return entries + [nowhere(how, objects, freed) for how, objects in unseen if objects]

    def of_others(self, row: int) -> Entries:
        """others_freed_by."""
        group = int(self._rows.group[row])
        pairs, of = self._others(group)
        missed, freed = self._missed(pairs), int(self._pairs.objects[pairs].sum())
        if freed - missed < LEAST_OTHERS:
            return []
        entry, places = self._paths.entry, self._paths.places(pairs)[:MOST_PATHS]
        return [{**entry(each, freed, missed, self._started_ns), "of": of} for each in places]

    def _missed(self, pairs: Positions) -> int:
        return int(self._pairs.objects[pairs[self._pairs.freed_at[pairs] == MISSED]].sum())

    def _mark(self, entries: Entries, places: list[Place], pairs: Positions, row: int, counted: int) -> None:
        """Set `stopped` of the entries of a row's places; `pairs`: all of the row."""
        missed = self._pairs.freed_at[pairs] == MISSED
        live = self._live[self._rows.group[row]]
        siblings = Siblings(
            (self._when(pairs[~missed]) + live)[1:],
            self._when(pairs[missed])[1:],
            int(self._rows.unsure[row]) + counted,
        )
        length_ns, part_ns = self._releases.end_ns - self._releases.begin_ns, self._releases.part_ns
        for entry, place in zip(entries, places, strict=True):
            longest_ns = int(self._pairs.longest_ns[place.pairs].max())
            until = old_enough(longest_ns, part_ns, length_ns)
            entry["stopped"] = stopped(self._when(place.pairs)[1:], siblings, until, self._tests)
            if place.parts:  # of a sample: compared with that sample
                known = np.sum([self._when(each.pairs) for each in place.parts], axis=0)[1:]
                among = siblings._replace(known=known)
                for shown, part in zip(entry["paths"], place.parts, strict=False):
                    shown["stopped"] = stopped(self._when(part.pairs)[1:], among, until, self._tests)

    def _when(self, pairs: Positions) -> Counts:
        when: Counts = self._pairs.when[pairs].sum(axis=0)
        return when

    def _others(self, group: int) -> tuple[Positions, str]:
        """Pairs of other objects that tell something about those of a group, and what both are of."""
        sites, cache = self._kept.sites, int(self._groups.cache[group])
        here = self._kept.caches.of_site[self._pairs.site] == cache
        same = np.flatnonzero(here & (sites["call_site"][self._pairs.site] == self._groups.call_site[group]))
        if self._pairs.objects[same].sum() >= LEAST_OTHERS or not _of_one_kind(self._kept, cache):
            return same, "call site"
        return np.flatnonzero(here), "cache"


def _of_one_kind(kept: Kept, cache: int) -> bool:
    name = comparable_cache(kept.caches.names[cache])
    return not name.startswith(ANYTHING) and not kept.caches.aliases[cache]
