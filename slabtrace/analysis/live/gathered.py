# SPDX-License-Identifier: Apache-2.0
"""What is counted of each chunk while recording: totals by site, ages, and frees of older objects."""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.live.ages_so_far import AgesSoFar
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import How, Paired
from slabtrace.trace.format.schema import Flag


class Gathered:
    """Counts by site, shape (s,), of `sites`, which may grow: see `grow`.

    `allocated`; `ended`: lifetimes; `inferred`: lifetimes whose free was missed; `repeated`: records of
    events that were recorded before.  `second_frees`: frees of objects that were free already.
    """

    def __init__(self, sites: Sites) -> None:
        self.sites = sites
        self.allocated, self.ended, self.inferred, self.repeated = (np.zeros(0, np.int64) for _ in range(4))
        self.second_frees = 0
        self.ages, self.older = AgesSoFar(), OlderFrees(0)

    def grow(self) -> None:
        """Make room for sites that were added."""
        more = len(self.sites) - len(self.allocated)
        self.allocated, self.ended, self.inferred, self.repeated = (
            np.append(each, np.zeros(more, np.int64))
            for each in (self.allocated, self.ended, self.inferred, self.repeated)
        )
        self.ages.grow(len(self.sites))

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        site, how = paired.ended_site, paired.how
        twice = self._count(site[how == How.DUPLICATE])
        self.allocated += self._count(paired.site[paired.allocs]) - twice
        self.ended += self._count(site) - twice
        self.repeated += twice + self._count(paired.site[paired.duplicate_frees])
        self.inferred += self._count(site[(how != How.FREED) & (how != How.DUPLICATE)])
        # what the twin recorded may be the first free again, by a task that was preempted (findings.py)
        flags = self.sites["flags"][paired.site[paired.second_frees]]
        self.second_frees += int(((flags & np.uint8(Flag.RECOVERED)) == 0).sum())
        self.ages.add(paired)
        self.older.add(paired)

    def _count(self, site: Counts) -> Counts:
        return np.bincount(site, minlength=len(self.allocated))
