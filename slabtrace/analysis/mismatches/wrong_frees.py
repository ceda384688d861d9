# SPDX-License-Identifier: Apache-2.0
"""The frees of a scan that contradict earlier events: findings.py makes findings of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.mismatches.object_layout import ObjectLayout
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import How, Paired, Positions
from slabtrace.trace.format.batch import EventBatch, concatenate
from slabtrace.trace.format.schema import Flag, Kind

NO_OBJECTS = (Kind.PAGES_FREE, Kind.VFREE)
MOST_FINDINGS = 10_000  # frees of each kind that are kept; still more only show that the trace lacks events


class Found:
    """Frees of one kind of mismatch, the first MOST_FINDINGS of them; `count` counts all."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[EventBatch] = []
        self._kept = 0

    def add(self, events: EventBatch, positions: Positions) -> None:
        """Take the frees at `positions`."""
        self.count += len(positions)
        if len(positions) and self._kept < MOST_FINDINGS:
            self._parts.append(events.take(np.sort(positions)[: MOST_FINDINGS - self._kept]))
            self._kept += self._parts[-1].size

    def events(self) -> list[EventBatch]:
        """The frees, each as a batch of one, in time order."""
        if not self._parts:
            return []
        every = concatenate(self._parts)
        return [every.take(slice(at, at + 1)) for at in range(every.size)]


class WrongFrees:
    """Collects contradictory frees from a scan: `double`, `invalid`, `wrong_cache`.

    `cache_is_named`: whether kmem_cache_free's tracepoint has the cache that its caller named.  Before 6.1 it
    does not; then the cache was found from the address, and cannot differ from the object's.
    `judged`: whether the programs checked that an object begins at each freed address (not of bulk frees).
    `every_free_recorded`: whether the trace has every free that was seen.  With --mode survivors it does not,
    so the last free of an address is not known, and no double frees are collected.
    """

    def __init__(
        self,
        sites: Sites,
        layout: ObjectLayout,
        cache_is_named: bool,
        judged: bool = False,
        every_free_recorded: bool = True,
    ) -> None:
        self._every_free_recorded = every_free_recorded
        self.double, self.invalid, self.wrong_cache = Found(), Found(), Found()
        self._layout = layout
        self._sites, self._cache_is_named, self._judged = sites, cache_is_named, judged

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        events, second = paired.events, self._of_objects(paired, paired.second_frees)
        old = self._of_objects(paired, paired.old_frees)
        unmatched = np.concatenate([old, second])
        site = paired.site[unmatched]
        bad = (self._sites["flags"][site] & np.uint8(Flag.INTERIOR)) != 0
        unjudged = np.flatnonzero(self._is(Kind.BULK_FREE, site) | (not self._judged))
        bad[unjudged] = self._layout.into(events.take(unmatched[unjudged])) > 0
        self.invalid.add(events, unmatched[bad])
        complained = self._is(Kind.WRONG_CACHE_FREE, paired.site[second])
        if self._every_free_recorded:
            self.double.add(events, second[~bad[len(old) :] & ~complained])
        self.wrong_cache.add(events, self._wrong_cache(paired))

    def _of_objects(self, paired: Paired, frees: Positions) -> Positions:
        """Without those of pages and of vmalloc: not every allocation of these has a tracepoint (CMA, memory
        of the boot, vmap), so a second free proves nothing."""
        return frees[~np.isin(self._sites["kind"][paired.site[frees]], NO_OBJECTS)]

    def _wrong_cache(self, paired: Paired) -> Positions:
        """Frees that the kernel complained about, and those that name another cache than their allocation."""
        found = [np.empty(0, np.intp)]
        if self._cache_is_named:
            pairs = paired.ended(How.FREED)
            end, cache = paired.end[pairs], self._sites["cache"]
            named, made_in = cache[paired.site[end]], cache[paired.site[paired.alloc[pairs]]]
            differ = (named != 0) & (made_in != 0) & (named != made_in)
            end, site = end[differ], paired.site[end[differ]]
            found.append(end[self._is(Kind.CACHE_FREE, site) | self._is(Kind.BULK_FREE, site)])
        if (self._sites["kind"] == np.uint8(Kind.WRONG_CACHE_FREE)).any():
            complained = self._is(Kind.WRONG_CACHE_FREE, paired.site[paired.own])
            found.append(np.flatnonzero(complained) + paired.begin)
        return np.unique(np.concatenate(found))

    def _is(self, kind: Kind, site: Positions) -> NDArray[np.bool_]:
        """Whether each of these sites is of a kind."""
        same: NDArray[np.bool_] = self._sites["kind"][site] == np.uint8(kind)
        return same
