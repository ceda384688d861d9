# SPDX-License-Identifier: Apache-2.0
"""Objects carried over from earlier parts of a series, by site: allocations from before this part."""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import Paired


class CarriedObjects:
    """Counts the allocations from before the trace began, by site: `objects`, shape (s,)."""

    def __init__(self, sites: Sites, started_ns: int) -> None:
        self._started_ns = started_ns
        self.objects: Counts = np.zeros(len(sites), np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk; only the first one costs anything."""
        ts_ns = paired.events.ts_ns[paired.own]
        if not len(ts_ns) or ts_ns[0] >= self._started_ns:
            return
        early = np.flatnonzero(ts_ns < self._started_ns) + paired.begin
        site = paired.site[early[~paired.free[early]]]
        self.objects += np.bincount(site, minlength=len(self.objects))
