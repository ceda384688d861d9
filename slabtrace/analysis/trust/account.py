# SPDX-License-Identifier: Apache-2.0
"""Each cache's change by the kernel's own count (slabinfo) and as traced, and how far the two may differ.

slabinfo counts every free object that is parked on a CPU as active.  So a change of active_objs is too large
or too small by at most the number of objects that can be parked (`parked`).  Events before the first sample,
after the last one, and while slabinfo was read may be in one count only: they are counted too (`unsampled`).
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

READING_NS = 20_000_000  # the longest time that reading slabinfo may take
SHEAF_OBJECTS, SHEAVES_OF_CPU, SHEAVES_OF_NODE = 64, 3, 10


class Unsampled:
    """Counts by site the events that slabinfo's samples may not have seen: `events`, shape (s,)."""

    def __init__(self, sites: Sites, slabinfo: dict[str, Samples], started_ns: int = 0) -> None:
        self._started_ns = started_ns  # earlier events were carried over from another part of a series
        begin = [samples.ts_ns[0] for samples in slabinfo.values()]
        end = [samples.ts_ns[-1] for samples in slabinfo.values()]
        self._begin_ns = max(begin, default=0) + READING_NS
        self._end_ns = max(end, default=0) - READING_NS
        self.events: Counts = np.zeros(len(sites), np.int64)

    def add(self, paired: Paired) -> None:
        """Take one chunk; one that lies between the samples costs nothing."""
        ts_ns = paired.events.ts_ns[paired.own]
        if not len(ts_ns) or (ts_ns[0] >= self._begin_ns and ts_ns[-1] <= self._end_ns):
            return
        apart = (ts_ns < self._begin_ns) | (ts_ns > self._end_ns)
        outside = np.flatnonzero(apart & (ts_ns >= self._started_ns)) + paired.begin
        self.events += np.bincount(paired.site[outside], minlength=len(self.events))


@dataclass
class Account:
    """Both counts for c caches, arrays of shape (c,).

    `kernel`: change of slabinfo's active_objs.  `traced`: allocations less frees (seen or inferred).
    `parked`, `unsampled`: how far the two may differ.  `known`: whether slabinfo has the cache.
    """

    known: NDArray[np.bool_]
    kernel: Counts
    traced: Counts
    parked: Counts
    unsampled: Counts

    @property
    def residue(self) -> Counts:
        """The difference: the kernel's count less the traced one; 0 where it is not known."""
        return np.where(self.known, self.kernel - self.traced, 0)

    @property
    def slack(self) -> Counts:
        """The largest difference that needs no missing event."""
        return self.parked + self.unsampled


def take_account(summary: Summary, slabinfo: dict[str, Samples], host: Host) -> Account:
    """Both counts for all caches of a trace."""
    caches = summary.caches
    samples = [slabinfo.get(name) for name in caches.names]
    size = np.array([int(each.objsize[-1]) if each else 0 for each in samples], np.int64)
    per_slab = np.array([int(each.objperslab[-1]) if each else 0 for each in samples], np.int64)
    return Account(
        known=np.array([each is not None for each in samples], np.bool_),
        kernel=np.array([each.change if each else 0 for each in samples], np.int64),
        traced=traced_change(summary, caches),
        parked=parked(host, size, per_slab)
        * np.array([max(len(each), 1) for each in caches.copies], np.int64),
        unsampled=by_group(caches.of_site, summary.unsampled, len(caches)),
    )


def traced_change(summary: Summary, caches: Caches) -> Counts:
    """Allocations less frees, seen or inferred, of each cache: shape (c,)."""
    held = np.where(summary.sites.free, 0, summary.objects.held)
    return by_group(caches.of_site, held - summary.carried - summary.counts.old, len(caches))


def parked(host: Host, size: Counts, per_slab: Counts) -> Counts:
    """The most free objects that slabinfo counts as active, by cache, shape (c,).

    `size`: of an object (bytes); `per_slab`: objects.  By mm/slub.c:
      - a CPU's current slab has up to objects_per_slab free objects;
      - its list of partial slabs 2 n objects rounded up to slabs (set_cpu_partial; 5.16, b47291ef02b0), and
        before that n slabs; n is 6, 24, 52 for objects from a page, 1024, 256 bytes on, and 120 for others;
      - sheaves (6.18) 64 objects each: three for each CPU, and ten full ones for each node.
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
