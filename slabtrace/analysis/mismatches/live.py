# SPDX-License-Identifier: Apache-2.0
"""Mismatches found while recording, by the same pairing as afterwards (findings.py), at a bounded cost.

Pairing takes 0.1 to 0.2 us an event, and the recorder has no time to spare under load.  So a batch of more
than MOST_EVENTS is skipped.  Then all that is known of addresses is forgotten, for a missed allocation would
make the next free look like a double free.  The same holds where events were lost.  `slabtrace mismatches`
finds the skipped ones later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from slabtrace.analysis.mismatches.object_layout import ObjectLayout, Shape
from slabtrace.analysis.mismatches.proof import allocations_unseen
from slabtrace.analysis.mismatches.wrong_frees import WrongFrees
from slabtrace.analysis.names.sites import Array, Sites
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag, Kind
from slabtrace.trace.manifest import Manifest

MOST_EVENTS = 1 << 16  # in a batch of half a second: pairing them takes 2 % of a CPU
MOST_LIVE = 1 << 20  # objects; more take too long to sort with every batch


class LiveFinding(NamedTuple):
    """A contradictory free: its kind, and where and by which task it happened."""

    kind: str
    ptr: int
    cache: int  # address of the kmem_cache that was freed to, 0 if not known
    call_site: int
    tid: int


class LiveMismatches:
    """Takes a recording's sites and events as they are stored.

    `manifest`: of the recording, once it says what is attached.  Two frees of an address prove something
    only where every allocation is seen: no silent path of allocations untraced, no filter.
    """

    def __init__(self, manifest: Manifest) -> None:
        coverage = manifest.coverage
        self.sites = Sites()
        self._manifest = manifest
        self._named = not coverage.free_traced_after
        self._allocs_seen = not allocations_unseen(manifest)
        self._judged = coverage.frees_judged
        self._pairer: Pairer | None = None
        self.layout: ObjectLayout | None = None  # of the sites until now; made with the first events
        self._lost_until_ns = 0
        self.skipped = 0  # batches

    def add_sites(self, rows: Mapping[str, Array]) -> None:
        """Append sites, as Sites.extend."""
        self.sites.extend(rows)

    def lost(self, until_ns: int) -> None:
        """Events from before this time were lost: in earlier batches two events prove nothing."""
        self._lost_until_ns = until_ns

    def add(self, batch: EventBatch, shapes: Mapping[int, Shape]) -> Iterator[LiveFinding]:
        """The contradictory frees among the next events."""
        lossy = bool(batch.size) and int(batch.ts_ns.min()) < self._lost_until_ns
        if lossy or (self._pairer and self._pairer.live.size > MOST_LIVE):
            self._pairer = None
        if batch.size > MOST_EVENTS:
            self._pairer = None
            self.skipped += 1
            return
        self._pairer = self._pairer or Pairer.for_trace(self._manifest, self.sites)
        self._pairer.feed(batch.ordered())
        paired = self._pairer.flush()
        if paired is None:
            return
        self.layout = self.layout or ObjectLayout(shapes, Sites(), self._manifest.host.page_size)
        self.layout.extend(shapes, self.sites)
        wrong_frees = WrongFrees(self.sites, self.layout, self._named, self._judged)
        wrong_frees.add(paired)
        if self._allocs_seen and not lossy:
            yield from self._findings("double-free", wrong_frees.double.events())
            yield from self._findings("wrong-cache-free", wrong_frees.wrong_cache.events())
        elif lossy:
            complained = [free for free in wrong_frees.wrong_cache.events() if self._complained(free)]
            yield from self._findings("wrong-cache-free", complained)
            self._pairer = None
        if self._judged:
            yield from self._findings("invalid-free", wrong_frees.invalid.events())

    def _complained(self, free: EventBatch) -> bool:
        """Whether the allocator itself said that the free was to the wrong cache."""
        return bool(self.sites["kind"][int(free.site[0])] == np.uint8(Kind.WRONG_CACHE_FREE))

    def _findings(self, kind: str, frees: list[EventBatch]) -> Iterator[LiveFinding]:
        for free in frees:
            site = int(free.site[0])
            if kind == "double-free" and self.sites["flags"][site] & np.uint8(Flag.RECOVERED):
                continue  # perhaps the twin's record of the first free: a second pass distinguishes them
            cache, call_site = (int(self.sites[name][site]) for name in ("cache", "call_site"))
            yield LiveFinding(kind, int(free.ptr[0]), cache, call_site, int(free.tid[0]))
