# SPDX-License-Identifier: Apache-2.0
"""How long the objects lived that were freed in the parts of a series so far, by site and octave.

The part that is judged decides which ages are old: powers of two of at least LEAST_HORIZON_NS
(counting/ages.py).  So numbers and sums by octave (2^k ns to less than 2^(k + 1) ns) are all it needs.

Example: objects of 3 s and 5 s were freed.  Octaves 31 and 32: one object each, 3 s and 5 s.  Of a horizon of
4.3 s (2^32 ns), one died, 0.7 s beyond it; of one of 2.1 s both, 3.7 s beyond it in all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import LEAST_HORIZON_NS, OCTAVES, Ages, Old, octaves
from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import How, Paired, Positions
from slabtrace.trace.format.arrays import plain

MOST_WAITING = 1 << 18  # rows that are not yet summed up


class Deaths:
    """Counts them for s sites: `lived`, shape (s, OCTAVES), as Ages.lived, and `old()`."""

    def __init__(self, sites: int) -> None:
        self._sites = sites
        self.lived: Counts = np.zeros((sites, OCTAVES), np.int64)
        self._rows: list[Old] = []
        self._waiting = 0

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        ts_ns, how = paired.events.ts_ns, paired.how
        lived = ts_ns.take(paired.end) - ts_ns.take(paired.alloc)
        octave = octaves(lived)
        real = how != How.DUPLICATE
        cell = (paired.ended_site * OCTAVES + octave)[real]
        self.lived += np.bincount(cell, minlength=self.lived.size).reshape(self.lived.shape)
        old = np.flatnonzero((lived >= LEAST_HORIZON_NS) & (how == How.FREED))
        freed_at = paired.site[paired.end[old]]
        number = np.ones(len(old), np.int64)
        self._take(Old(paired.ended_site[old], freed_at, octave[old], number, lived[old].astype(float)))

    def take(self, lived: pa.Table, old: pa.Table) -> None:
        """Take what earlier parts counted: the carried tables `lived` and `pairs`.

        Rows of unknown sites and octaves are left out: sites.arrow may be cut.
        """
        site, octave, objects = _columns(lived)
        known = (site < self._sites) & (octave < OCTAVES)
        np.add.at(self.lived, (site[known], octave[known]), objects[known])
        site, freed_at, octave, objects, lived_ns = _columns(old)
        known = (site < self._sites) & (freed_at < self._sites) & (octave < OCTAVES)
        self._take(Old(*(each[known] for each in (site, freed_at, octave, objects, lived_ns))))

    def old(self) -> Old:
        """The old ones, each combination of sites and octave once."""
        if len(self._rows) != 1 or self._waiting:
            self._rows, self._waiting = [_summed(self._rows, self._sites)], 0
        return self._rows[0]

    def give(self, ages: Ages, of_site: Positions | None = None) -> None:
        """Add them to `ages`.

        `of_site`, shape (a,): the site of each of the sites of `ages`, where they are divided by process.
        Each process then has the deaths of all: whose objects they were is not carried.  So where they
        were freed is not counted then.
        """
        old = self.old()
        if of_site is None:
            if ages.releases is not None:
                ages.releases.take(old.site, old.freed_at, old.objects)
            return ages.take(self.lived, old)
        order = np.argsort(of_site, kind="stable")
        begin, end = (np.searchsorted(of_site[order], old.site, side) for side in ("left", "right"))
        row = np.repeat(np.arange(len(old.site)), end - begin)
        place = np.arange(len(row)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
        site = order[begin[row] + place]
        freed_at = first_of(of_site, self._sites)[old.freed_at[row]]
        known = np.flatnonzero(freed_at >= 0)
        row = row[known]
        divided = Old(site[known], freed_at[known], old.octave[row], old.objects[row], old.lived_ns[row])
        return ages.take(self.lived[of_site], divided)

    def columns(self) -> tuple[list[Any], list[Any]]:
        """The columns of the carried tables `lived` and `pairs`."""
        site, octave = np.nonzero(self.lived)
        return [site, octave, self.lived[site, octave]], list(self.old())

    def _take(self, rows: Old) -> None:
        if not len(rows.site):
            return
        self._rows.append(rows)
        self._waiting += len(rows.site)
        if self._waiting > MOST_WAITING:
            self.old()


def first_of(of_site: Positions, sites: int) -> Positions:
    """The first of the divided sites of each site, -1 for none: shape (sites,).  Sites of frees have one."""
    first = np.full(sites, -1, np.intp)
    first[of_site[::-1]] = np.arange(len(of_site))[::-1]
    return first


def _summed(rows: list[Old], sites: int) -> Old:
    if not rows:
        none = np.empty(0, np.intp)
        return Old(none, none, none, np.empty(0, np.int64), np.empty(0))
    site, freed_at, octave, objects, lived_ns = (np.concatenate(each) for each in zip(*rows, strict=True))
    keys, row = np.unique((site * sites + freed_at) * OCTAVES + octave, return_inverse=True)
    number = np.zeros(len(keys), np.int64)
    np.add.at(number, row, objects)
    pair = keys // OCTAVES
    summed_ns = np.bincount(row, lived_ns, len(keys)).astype(np.float64)
    return Old(pair // sites, pair % sites, keys % OCTAVES, number, summed_ns)


def _columns(table: pa.Table) -> list[NDArray[Any]]:
    """The columns of a carried table: whole numbers as int64."""
    found = (plain(table.column(name)) for name in table.schema.names)
    return [each if each.dtype.kind == "f" else each.astype(np.int64) for each in found]
