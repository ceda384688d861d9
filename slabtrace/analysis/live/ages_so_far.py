# SPDX-License-Identifier: Apache-2.0
"""Ages while recording: the horizons change as the recording gets longer, so old lifetimes count by octave.

Horizons are powers of two, so what Ages counts beyond a horizon is a sum over octaves.

Example: at one site objects were freed 1.5 s, 3 s and 10 s old, in octaves 30, 31 and 33.

    octave     30     31     32     33
    number      1      1      0      1
    sum       1.5 s    3 s    0     10 s
    horizon 2.15 s (2^31 ns): died 1 + 0 + 1 = 2; beyond it 3 + 10 - 2 x 2.15 = 8.7 s
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import (
    LEAST_HORIZON_NS,
    OCTAVES,
    SITE_BITS,
    Ages,
    count_octaves,
    octaves,
)
from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import How, Paired, Positions

FIRST = LEAST_HORIZON_NS.bit_length() - 1  # octave from which on a lifetime may be beyond a horizon
OLD = OCTAVES - FIRST


class AgesSoFar:
    """Lifetimes by octave; 670 bytes a site, and one number for each pair of sites and octave."""

    def __init__(self) -> None:
        self._lived: Counts = np.zeros((0, OCTAVES), np.int64)
        self._old: Counts = np.zeros((0, OLD), np.int64)
        self._sum_ns: NDArray[np.float64] = np.zeros((0, OLD))
        self._pairs: list[dict[int, int]] = [{} for _ in range(OLD)]

    def grow(self, sites: int) -> None:
        """Make room for so many sites, by doubling."""
        more = max(sites, 2 * len(self._lived)) - len(self._lived)
        if sites > len(self._lived):
            rows = ((0, more), (0, 0))
            self._lived, self._old = np.pad(self._lived, rows), np.pad(self._old, rows)
            self._sum_ns = np.pad(self._sum_ns, rows)

    def add(self, paired: Paired) -> None:
        """Take one chunk; there must be room for its sites."""
        ts_ns, site, how = paired.events.ts_ns, paired.ended_site, paired.how
        lived = ts_ns.take(paired.end) - ts_ns.take(paired.alloc)
        count_octaves(self._lived, site, lived, np.flatnonzero(how == How.DUPLICATE))
        old = np.flatnonzero(lived >= LEAST_HORIZON_NS)
        old = old[how[old] == How.FREED]
        self._count_old(site[old], lived[old], paired.site[paired.end[old]])

    def until(self, sites: int, begin_ns: int, end_ns: int) -> Ages:
        """The ages of objects at the first `sites` sites, in a recording of this time."""
        ages = Ages(sites, begin_ns, end_ns)
        ages.lived[:] = self._lived[:sites]
        for at, horizon_ns in enumerate(ages.horizons_ns.tolist()):
            beyond = slice(horizon_ns.bit_length() - 1 - FIRST, None)
            ages.died[:, at] = self._old[:sites, beyond].sum(axis=1)
            ages.beyond_ns[:, at] = self._sum_ns[:sites, beyond].sum(axis=1) - ages.died[:, at] * horizon_ns
        if len(ages.horizons_ns):
            for pairs in self._pairs[int(ages.horizons_ns[0]).bit_length() - 1 - FIRST :]:
                ages.add_pairs(pairs)
        return ages

    def _count_old(self, site: Positions, lived: NDArray[np.int64], freed_at: Positions) -> None:
        octave = octaves(lived) - FIRST
        np.add.at(self._old, (site, octave), 1)
        np.add.at(self._sum_ns, (site, octave), lived)
        for each in np.unique(octave).tolist():
            here = octave == each
            keys, numbers = np.unique((site[here] << SITE_BITS) | freed_at[here], return_counts=True)
            pairs = self._pairs[each]
            for key, number in zip(keys.tolist(), numbers.tolist(), strict=True):
                pairs[key] = pairs.get(key, 0) + number
