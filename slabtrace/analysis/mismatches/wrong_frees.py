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
        kind, cache = sites["kind"], sites["cache"]
        named = (
            np.isin(kind, (Kind.CACHE_FREE, Kind.BULK_FREE)) if cache_is_named else np.zeros(len(kind), bool)
        )
        self._named = np.where(named, cache, np.uint64(0))
        self._cache = cache
        self._complaint: NDArray[np.bool_] = kind == np.uint8(Kind.WRONG_CACHE_FREE)
        self._interior: NDArray[np.bool_] = (sites["flags"] & np.uint8(Flag.INTERIOR)) != 0
        self._unjudged: NDArray[np.bool_] = (kind == np.uint8(Kind.BULK_FREE)) | (not judged)

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        events, second = paired.events, paired.second_frees
        unmatched = np.concatenate([paired.old_frees, second])
        site = paired.site[unmatched]
        bad = self._interior[site]
        unjudged = np.flatnonzero(self._unjudged[site])
        bad[unjudged] = self._layout.into(events.take(unmatched[unjudged])) > 0
        self.invalid.add(events, unmatched[bad])
        complained = self._complaint[paired.site[second]]
        if self._every_free_recorded:
            self.double.add(events, second[~bad[len(paired.old_frees) :] & ~complained])
        self.wrong_cache.add(events, self._wrong_cache(paired))

    def _wrong_cache(self, paired: Paired) -> Positions:
        """Frees that the kernel complained about, and those that name another cache than their allocation."""
        pairs = paired.ended(How.FREED)
        end = paired.end[pairs]
        named = self._named[paired.site[end]]
        cache = self._cache[paired.site[paired.alloc[pairs]]]
        found = [end[(named != 0) & (cache != 0) & (named != cache)]]
        if self._complaint.any():
            found.append(np.flatnonzero(self._complaint[paired.site[paired.own]]) + paired.begin)
        return np.unique(np.concatenate(found))
