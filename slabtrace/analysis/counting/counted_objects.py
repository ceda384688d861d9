# SPDX-License-Identifier: Apache-2.0
"""Objects that were only counted (record --mode survivors): by site of their allocation and lifetime.

Each was allocated and freed, and both were seen, but not when and in which task.  So they count in all totals
and in lifetimes, and appear in nothing that is about single objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.schema import BINS_PER_OCTAVE, LIFETIME_BINS
from slabtrace.trace.manifest import Step

MOST_OBJECTS = 1 << 56  # objects of a row: a larger number is damage


@dataclass(frozen=True)
class CountedObjects:
    """Numbers of `objects` of one `site` and `lifetime_bin`, arrays of shape (r,).

    `moved`, shape (s,): objects of each site that were freed on another CPU than allocated on.
    """

    site: Positions
    lifetime_bin: Positions
    objects: Counts
    moved: Counts

    @classmethod
    def from_table(cls, table: pa.Table, sites: int, steps: Sequence[Step] = ()) -> CountedObjects:
        """From counted.arrow (trace.format.schema.COUNTED) of a trace with so many sites.

        `steps`: times from which on fewer addresses were sampled.  Earlier counts are of more addresses; they
        are scaled down to what the last sample would have counted on average.
        """
        table = _thinned(table, steps)
        site, bins = plain(table.column("site")).astype(np.intp), plain(table.column("lifetime_bin"))
        objects, moved = (plain(table.column(name)) for name in ("objects", "moved"))
        sound = np.flatnonzero(
            (site < sites) & (bins < LIFETIME_BINS) & (objects < MOST_OBJECTS) & (moved < MOST_OBJECTS)
        )
        cell = site[sound] * LIFETIME_BINS + bins[sound]
        distinct, inverse = np.unique(cell, return_inverse=True)
        sums = np.zeros(len(distinct), np.int64)
        np.add.at(sums, inverse.reshape(-1), objects[sound].astype(np.int64))
        by_site = np.zeros(sites, np.int64)
        np.add.at(by_site, site[sound], moved[sound].astype(np.int64))
        return cls(distinct // LIFETIME_BINS, distinct % LIFETIME_BINS, sums, by_site)

    def by_site(self) -> Counts:
        """Objects of each site, shape (s,)."""
        counts = np.zeros(len(self.moved), np.int64)
        np.add.at(counts, self.site, self.objects)
        return counts

    def add_octaves(self, lived: Counts) -> None:
        """Add to counts by site and octave of the lifetime, shape (s, octaves)."""
        np.add.at(lived, (self.site, self.lifetime_bin // BINS_PER_OCTAVE), self.objects)

    @property
    def total(self) -> int:
        """All objects counted."""
        return int(self.objects.sum())


def _thinned(table: pa.Table, steps: Sequence[Step]) -> pa.Table:
    if not steps or not len(table):
        return table
    end_ns, one_in = plain(table.column("end_ns")), np.full(len(table), steps[-1].one_in, np.float64)
    for step in reversed(steps):
        one_in[end_ns <= step.ts_ns] = step.before
    for name in ("objects", "moved"):
        place = table.schema.get_field_index(name)
        kept = plain(table.column(name)) * (one_in / steps[-1].one_in)
        table = table.set_column(place, name, pa.array(kept.round().astype(np.uint64)))
    return table
