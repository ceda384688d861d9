# SPDX-License-Identifier: Apache-2.0
"""What one scan of the events leaves in memory, and what names it: all that tables are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from slabtrace.analysis.cache_names import Caches
from slabtrace.analysis.counts import Counts, SiteCounts
from slabtrace.analysis.sites import Sites
from slabtrace.analysis.symbols import Stacks, Symbols
from slabtrace.analysis.tasks import Tasks
from slabtrace.trace.batch import EventBatch


@dataclass
class Summary:
    """A scanned trace: counts by site, and the objects left live (sorted by ptr)."""

    sites: Sites
    caches: Caches
    counts: SiteCounts
    live: EventBatch

    @cached_property
    def held(self) -> Counts:
        """Number of live objects of each site, shape (s,)."""
        return np.bincount(self.live.site, minlength=len(self.sites))


@dataclass
class Lookup:
    """What turns addresses, stacks and tasks into words, and times into those of the recording."""

    symbols: Symbols
    stacks: Stacks
    tasks: Tasks
    started_ns: int
