# SPDX-License-Identifier: Apache-2.0
"""What the twins recovered: events that only they recorded, by the program that was skipped.

A twin's record that repeats its program's own (duplicates.py) recovers nothing.  The totals of the manifest
do not distinguish these where programs are preemptible.  They also count repetitions of events that are not
stored, such as kfree(NULL) or what a filter left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.counts import SiteCounts
from slabtrace.analysis.names.sites import Sites
from slabtrace.trace.format.schema import Flag, Kind
from slabtrace.trace.manifest import Manifest

# The programs that have twins, by kind of event; up to 6.0 there are also kmalloc_node and similar ones.
PROGRAMS = {
    Kind.KMALLOC: "kmalloc",
    Kind.CACHE_ALLOC: "kmem_cache_alloc",
    Kind.KFREE: "kfree",
    Kind.CACHE_FREE: "kmem_cache_free",
    Kind.PERCPU_ALLOC: "percpu_alloc_percpu",
    Kind.PERCPU_FREE: "percpu_free_percpu",
    Kind.PAGES_ALLOC: "pages_alloc",
    Kind.PAGES_FREE: "pages_free",
    Kind.VMALLOC: "vmalloc_area",
    Kind.VFREE: "vfree_area",
}


@dataclass(frozen=True)
class Recovered:
    """Events for which the program was skipped, but not its twin.

    `stored`: those in the trace, by program (PROGRAMS).  `total`: all of them, at least.  `repeated`: by
    program, records of allocations that were taken for repetitions; `stored` lacks at most so many.
    """

    stored: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    total: int = 0


def recovered(sites: Sites, counts: SiteCounts, manifest: Manifest) -> Recovered:
    """What the twins of a scanned trace recovered."""
    flagged = (sites["flags"] & np.uint8(Flag.RECOVERED)) != 0
    stored = _by_program(sites, np.where(flagged, counts.seen, 0) - counts.by_twins)
    repeated = _by_program(sites, np.where(sites.free, 0, counts.by_twins))
    total = sum(stored.values())
    if not manifest.coverage.programs_preemptible:
        total = max(total, manifest.totals.recovered - int(counts.by_twins.sum()))
    return Recovered(stored, repeated, total)


def _by_program(sites: Sites, counts: Counts) -> dict[str, int]:
    """Events by program; a block of pages was one event."""
    counts = counts >> sites.order
    return {name: int(counts[sites["kind"] == np.uint8(kind)].sum()) for kind, name in PROGRAMS.items()}
