# SPDX-License-Identifier: Apache-2.0
"""How long objects lived and how many were outstanding over time, by site: the data for the leak classes.

The recording is divided into SLICES equal slices.  An object counts in a slice if it was allocated before
the slice began, and not freed until after the slice ended.  So objects that live shorter than a slice never
count, however many there are.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.pairing.paired import How, Paired, Positions
from slabtrace.trace.format.batch import EventBatch

SLICES = 128  # equal parts of the recording
OCTAVES = 48  # lifetimes up to 2^48 ns, 78 hours; longer ones count among the longest
FLOAT_BITS, FLOAT_BIAS = np.int64(52), np.int64(1023)  # IEEE 754 binary64: the exponent is log2


class Choice(Protocol):
    """Selects allocations."""

    def mask(self, events: EventBatch, among: Positions) -> NDArray[np.bool_]:
        """Whether each of the allocations at the positions `among` is selected, shape (len(among),)."""


class Ages:
    """Counts the objects allocated while recording, at s sites.

    `lived`, shape (s, OCTAVES): completed lifetimes, the free seen or inferred, by octave k: from 2^k ns to
    less than 2^(k + 1) ns.  `steps`, shape (SLICES, s): change of the number of objects that count, at the
    begin of each slice.  `close` adds the live objects.
    """

    def __init__(self, sites: int, begin_ns: int, end_ns: int, choice: Choice | None = None) -> None:
        self.begin_ns, self.end_ns = begin_ns, max(end_ns, begin_ns + 1)
        self.width_ns = max(-(-(self.end_ns - begin_ns) // SLICES), 1)
        self.lived: Counts = np.zeros((sites, OCTAVES), np.int64)
        self.steps: NDArray[np.int32] = np.zeros((SLICES, sites), np.int32)
        self._choice = choice

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        alloc, end, site, how = paired.alloc, paired.end, paired.ended_site, paired.how
        if self._choice is not None:
            chosen = np.flatnonzero(self._choice.mask(paired.events, alloc))
            alloc, end, site, how = alloc[chosen], end[chosen], site[chosen], how[chosen]
        ts_ns = paired.events.ts_ns
        lived = ts_ns.take(end)
        lived -= ts_ns.take(alloc)
        self._count(site, lived, np.flatnonzero(how == How.DUPLICATE))
        long = np.flatnonzero(lived >= self.width_ns)
        long = long[how[long] != How.DUPLICATE]
        self._count_slices(site[long], ts_ns[alloc[long]], ts_ns[end[long]])

    def close(self, live: EventBatch) -> None:
        """Count the live objects, once, after the last chunk."""
        self._count_slices(
            live.site.astype(np.intp), live.ts_ns, np.full(live.size, self.end_ns + self.width_ns)
        )

    def outstanding(self, group_of_site: Positions, groups: int, weight: Counts | None = None) -> Counts:
        """Objects of each group that count in each slice, each `weight` (by site) times: (SLICES, groups)."""
        table = np.zeros((SLICES, groups), np.int64)
        for slice_, steps in enumerate(self.steps):
            values = steps.astype(np.int64) if weight is None else steps * weight
            table[slice_] = by_group(group_of_site, values, groups)
        return np.cumsum(table, axis=0)

    def _count(self, site: Positions, lived: NDArray[np.int64], twice: Positions) -> None:
        """Count lifetimes by octave, except for those at `twice`, which are second records of an event."""
        if not len(site):
            return
        cell = np.maximum(lived, 1).astype(np.float64).view(np.int64)
        cell >>= FLOAT_BITS
        cell -= FLOAT_BIAS
        np.minimum(cell, OCTAVES - 1, out=cell)
        cell += site * OCTAVES
        flat = self.lived.reshape(-1)
        if len(flat) <= 8 * len(cell):
            flat += np.bincount(cell, minlength=len(flat))
        else:
            np.add.at(flat, cell, 1)
        np.subtract.at(flat, cell[twice], 1)

    def _count_slices(self, site: Positions, alloc_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> None:
        """Count objects in every slice from the one after their allocation to the one before their end."""
        first = np.clip((alloc_ns - self.begin_ns) // self.width_ns, -1, SLICES) + 1
        last = np.clip((end_ns - self.begin_ns) // self.width_ns, 0, SLICES)
        some = np.flatnonzero(first < last)
        np.add.at(self.steps, (first[some], site[some]), 1)
        ends = some[last[some] < SLICES]
        np.subtract.at(self.steps, (last[ends], site[ends]), 1)
