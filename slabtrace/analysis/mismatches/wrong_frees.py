# SPDX-License-Identifier: Apache-2.0
"""The frees of a scan that contradict what was seen before: what mismatches.py makes findings of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.mismatches.object_layout import ObjectLayout
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import How, Paired, Positions
from slabtrace.trace.format.batch import EventBatch, concatenate
from slabtrace.trace.format.schema import Flag, Kind

MOST_FINDINGS = (
    10_000  # findings of a kind told one by one: more would say that the trace lacks events, not more
)


class Found:
    """Frees of one kind of mismatch, the first MOST_FINDINGS of them; `count` counts all."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[EventBatch] = []
        self._kept = 0

    def add(self, events: EventBatch, positions: Positions) -> None:
        """Take those at `positions`."""
        self.count += len(positions)
        if len(positions) and self._kept < MOST_FINDINGS:
            self._parts.append(events.take(np.sort(positions)[: MOST_FINDINGS - self._kept]))
            self._kept += self._parts[-1].size

    def events(self) -> list[EventBatch]:
        """Each as a batch of one, in time order."""
        if not self._parts:
            return []
        every = concatenate(self._parts)
        return [every.take(slice(at, at + 1)) for at in range(every.size)]


class WrongFrees:
    """Collects suspicious frees from a scan: `double`, `invalid`, `wrong_cache`.

    `cache_is_named`: whether kmem_cache_free's tracepoint shows the cache that its caller named, or
    may; where the address had to tell (before 6.1), it cannot differ from the object's.
    `judged`: whether the programs judged where objects begin, of all frees but bulk ones.
    `every_free_told`: whether a free that is not in the trace was not seen; where objects were only counted
    (record --mode survivors) most are not, and which free an address had last is not known: no double frees.
    """

    def __init__(
        self,
        sites: Sites,
        layout: ObjectLayout,
        cache_is_named: bool,
        judged: bool = False,
        every_free_told: bool = True,
    ) -> None:
        self._every_free_told = every_free_told
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
        strays = np.concatenate([paired.old_frees, second])
        site = paired.site[strays]
        bad = self._interior[site]
        unjudged = np.flatnonzero(self._unjudged[site])
        bad[unjudged] = self._layout.into(events.take(strays[unjudged])) > 0
        self.invalid.add(events, strays[bad])
        complained = self._complaint[paired.site[second]]
        if self._every_free_told:
            self.double.add(events, second[~bad[len(paired.old_frees) :] & ~complained])
        self.wrong_cache.add(events, self._wrong_cache(paired))

    def _wrong_cache(self, paired: Paired) -> Positions:
        """Frees that were complained of, and those that name another cache than their allocation."""
        pairs = paired.ended(How.FREED)
        end = paired.end[pairs]
        named = self._named[paired.site[end]]
        cache = self._cache[paired.site[paired.alloc[pairs]]]
        found = [end[(named != 0) & (cache != 0) & (named != cache)]]
        if self._complaint.any():
            found.append(np.flatnonzero(self._complaint[paired.site[paired.own]]) + paired.begin)
        return np.unique(np.concatenate(found))
