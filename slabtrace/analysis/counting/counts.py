# SPDX-License-Identifier: Apache-2.0
"""Counts of what happened at each site: all totals and all tables of groups are sums of these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.counted_objects import CountedObjects
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.duplicates import by_twin
from slabtrace.analysis.pairing.paired import How, Paired


class SiteCounts:
    """Counters of shape (s,), int64, by site.

    `seen`: events.  `duplicates`: events of these that repeat another record; `by_twins`: those of them that
    a twin recorded after its program had.
    By the site of the allocation: `inferred` (the free was missed; of these `page_ended` by the end of the
    slab, `found_free` by the slab's own list at the end), `pingpong` (freed on another CPU than allocated on)
    and `crossnode` (of these, on another NUMA node; `node_of_cpu`: by CPU, empty for one node).
    By the site of the free: `old` (of objects older than the recording), `second` (of objects that were free
    already) and `completions` (second reports of a free, as after kfree_rcu).
    """

    def __init__(self, sites: Sites, node_of_cpu: Sequence[int] = ()) -> None:
        self._sites, self._size = sites, len(sites)
        self.counted = 0  # objects in `seen` that have no events
        self._node = np.array(node_of_cpu if len(set(node_of_cpu)) > 1 else [], np.int64)
        self.crossnode: Counts = np.zeros(self._size, np.int64)
        self.seen, self.duplicates, self.inferred, self.page_ended, self.found_free, self.pingpong = (
            np.zeros(self._size, np.int64) for _ in range(6)
        )
        self.by_twins: Counts = np.zeros(self._size, np.int64)
        self.old, self.second, self.completions = (np.zeros(self._size, np.int64) for _ in range(3))

    def add_counted(self, counted: CountedObjects) -> None:
        """Count, once, objects that have no events, as allocated and freed."""
        self.counted += counted.total
        self.seen += counted.by_site()
        self.pingpong += counted.moved

    def add(self, paired: Paired) -> None:
        """Count one chunk."""
        site, alloc = paired.site, paired.alloc
        self.seen += self._count(site[paired.own])
        self.old += self._count(site[paired.old_frees])
        self.second += self._count(site[paired.second_frees])
        again = self._count(site[paired.duplicate_frees])  # only a twin records a free again
        self.duplicates += again
        self.by_twins += again
        self.completions += self._count(site[paired.completions])
        cpu = paired.events.cpu
        moved = np.flatnonzero(cpu.take(alloc) != cpu.take(paired.end))
        moved = moved[paired.how[moved] == How.FREED]
        self.pingpong += self._count(paired.ended_site[moved])
        if len(self._node):
            crossed = self._node[cpu[alloc[moved]]] != self._node[cpu[paired.end[moved]]]
            self.crossnode += self._count(paired.ended_site[moved[crossed]])
        unfreed = np.flatnonzero(paired.how != How.FREED)
        if len(unfreed):
            how, at = paired.how[unfreed], paired.ended_site[unfreed]
            self.inferred += self._count(at[how != How.DUPLICATE])
            self.page_ended += self._count(at[how == How.PAGE_END])
            self.found_free += self._count(at[how == How.FOUND_FREE])
            first, second = at[how == How.DUPLICATE], site[paired.end[unfreed[how == How.DUPLICATE]]]
            self.duplicates += self._count(first)
            self.by_twins += self._count(first[by_twin(self._sites, first, second)])

    def _count(self, site: NDArray[np.intp]) -> Counts:
        return np.bincount(site, minlength=self._size)
