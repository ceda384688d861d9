# SPDX-License-Identifier: Apache-2.0
"""How long objects lived, counted by cache and by lifetime on a logarithmic scale."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.counted_objects import CountedObjects
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.pairing.paired import How, Paired
from slabtrace.columns import LIFETIME_HISTOGRAM
from slabtrace.trace.format.schema import BINS_PER_OCTAVE, LIFETIME_BINS

COLUMNS = LIFETIME_HISTOGRAM.names


class LifetimeHistogram:
    """Counts completed lifetimes whose free was seen: `counts` has shape (caches, LIFETIME_BINS)."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self.counts: NDArray[np.int64] = np.zeros((len(caches), LIFETIME_BINS), np.int64)

    def add_counted(self, counted: CountedObjects) -> None:
        """Count, once, objects that have no events."""
        np.add.at(self.counts, (self._caches.of_site[counted.site], counted.lifetime_bin), counted.objects)

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        freed = paired.ended(How.FREED)
        times = paired.events.ts_ns
        lived = times.take(paired.end[freed]) - times.take(paired.alloc[freed])
        place = (np.log2(np.maximum(lived, 1)) * BINS_PER_OCTAVE).astype(np.intp)
        np.minimum(place, LIFETIME_BINS - 1, out=place)
        place += self._caches.of_site.take(paired.ended_site[freed]) * LIFETIME_BINS
        self.counts += np.bincount(place, minlength=self.counts.size).reshape(self.counts.shape)

    def table(self) -> pd.DataFrame:
        """Rows (cache, bin) with at least one object: it lived from_ns or longer, but less than to_ns."""
        cache, place = np.nonzero(self.counts)
        edges = 2.0 ** (np.arange(LIFETIME_BINS + 1) / BINS_PER_OCTAVE)
        names = [self._caches.names[row] for row in cache.tolist()]
        columns = (names, edges[place], edges[place + 1], self.counts[cache, place])
        return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
