# SPDX-License-Identifier: Apache-2.0
"""The kernel's own account of each cache beside the traced one, and what can lie between the two.

slabinfo's active_objs counts as active every free object that is parked on a CPU: on its current
slab, on its list of partial slabs, and from 6.18 in sheaves.  So a change of active_objs is off by
at most what can be parked, up or down.  By mm/slub.c:
  - a CPU's current slab parks up to objects_per_slab;
  - its partial list up to 2 n objects rounded up to slabs (set_cpu_partial: n = 6, 24, 52 or 120 for
    objects from a page, 1024, 256 bytes on, or smaller; 5.16, b47291ef02b0), before that n slabs;
  - sheaves: three a CPU, and ten full ones a node, of at most 64 objects.
Events before the first sample and after the last, and those while slabinfo was read, are in one
account only: they are counted (`unsampled`) and added.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.counting.summary import Summary
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.slabinfo import Samples
from slabtrace.analysis.pairing.paired import Paired
from slabtrace.trace.manifest import Host

READING_NS = 20_000_000  # the longest that reading slabinfo may take
SHEAF_OBJECTS, SHEAVES_OF_CPU, SHEAVES_OF_NODE = 64, 3, 10


class Unsampled:
    """Counts by site the events that may be in one account only: `events`, shape (s,)."""

    def __init__(self, sites: Sites, slabinfo: dict[str, Samples], started_ns: int = 0) -> None:
        self._started_ns = started_ns  # what came before was carried here from another part of a series
        begin = [samples.ts_ns[0] for samples in slabinfo.values()]
        end = [samples.ts_ns[-1] for samples in slabinfo.values()]
        self._begin_ns = max(begin, default=0) + READING_NS
        self._end_ns = max(end, default=0) - READING_NS
        self.events: Counts = np.zeros(len(sites), np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk; those wholly between the samples cost nothing."""
        ts_ns = paired.events.ts_ns[paired.own]
        if not len(ts_ns) or (ts_ns[0] >= self._begin_ns and ts_ns[-1] <= self._end_ns):
            return
        apart = (ts_ns < self._begin_ns) | (ts_ns > self._end_ns)
        outside = np.flatnonzero(apart & (ts_ns >= self._started_ns)) + paired.begin
        self.events += np.bincount(paired.site[outside], minlength=len(self.events))


@dataclass
class Account:
    """Both accounts of c caches, arrays of shape (c,).

    `kernel`: change of slabinfo's active_objs, `traced`: allocations less frees (seen or proved),
    `parked`, `unsampled`: how far the two may be apart.  `known`: whether slabinfo has the cache.
    """

    known: NDArray[np.bool_]
    kernel: Counts
    traced: Counts
    parked: Counts
    unsampled: Counts

    @property
    def residue(self) -> Counts:
        """What the kernel counted more than was traced; 0 where it is not known."""
        return np.where(self.known, self.kernel - self.traced, 0)

    @property
    def slack(self) -> Counts:
        """How large a residue can be without any event missing."""
        return self.parked + self.unsampled


def take_account(summary: Summary, slabinfo: dict[str, Samples], host: Host) -> Account:
    """The accounts of all caches of a trace."""
    caches = summary.caches
    samples = [slabinfo.get(name) for name in caches.names]
    size = np.array([int(each.objsize[-1]) if each else 0 for each in samples], np.int64)
    per_slab = np.array([int(each.objperslab[-1]) if each else 0 for each in samples], np.int64)
    return Account(
        known=np.array([each is not None for each in samples], np.bool_),
        kernel=np.array([each.change if each else 0 for each in samples], np.int64),
        traced=traced_change(summary, caches),
        parked=parked(host, size, per_slab),
        unsampled=by_group(caches.of_site, summary.unsampled, len(caches)),
    )


def traced_change(summary: Summary, caches: Caches) -> Counts:
    """Allocations less frees, seen or proved, of each cache: shape (c,)."""
    held = np.where(summary.sites.free, 0, summary.objects.held)
    return by_group(caches.of_site, held - summary.carried - summary.counts.old, len(caches))


def parked(host: Host, size: Counts, per_slab: Counts) -> Counts:
    """The most free objects that slabinfo counts as active, by cache, shape (c,).

    `size`: of an object (bytes); `per_slab`: objects.
    """
    n = np.select([size >= host.page_size, size >= 1024, size >= 256], [6, 24, 52], 120)
    partial = 2 * n + per_slab if _release(host) >= (5, 16) else n * per_slab
    of_cpu = per_slab + partial
    if _release(host) < (6, 18):
        return of_cpu * host.cpus
    return (of_cpu + SHEAVES_OF_CPU * SHEAF_OBJECTS) * host.cpus + SHEAVES_OF_NODE * SHEAF_OBJECTS


def _release(host: Host) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", host.release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
