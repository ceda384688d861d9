# SPDX-License-Identifier: Apache-2.0
"""Allocations that were missed: their objects are in use at the end, though free by the events.

A cache without such an object shows no sign of missed allocations (trust/confidence.py needs that).
"""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.pairing.paired import Paired
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.trace.format.batch import UInt64

BEFORE_NS = 10_000_000  # the longest time from the report of a free to the moment the object is free


class UnseenAllocations:
    """Counts the objects that are in use by their slabs, and free by the events."""

    def __init__(self, slabs: SlabStates) -> None:
        self._slabs = slabs
        self._since_ns = int(slabs.ts_ns.min()) - BEFORE_NS if len(slabs) else 0
        self._lately: list[UInt64] = []

    def add(self, paired: Paired) -> None:
        """Take one chunk.  Addresses in use while the slabs were read do not count: their state changed."""
        events = paired.events
        first = paired.begin + int(np.searchsorted(events.ts_ns[paired.own], self._since_ns))
        if len(self._slabs) and first < events.size:
            self._lately.append(events.ptr[first:])

    def by_cache(self, pairer: Pairer) -> dict[int, int]:
        """{address of the cache: number of objects}, once `pairer` has taken all events."""
        ptr, cache = self._slabs.in_use()
        place = np.minimum(np.searchsorted(pairer.live.ptr, ptr), max(pairer.live.size - 1, 0))
        live = pairer.live.ptr[place] == ptr if pairer.live.size else np.zeros(len(ptr), np.bool_)
        candidates = np.flatnonzero(~live)
        candidates = candidates[pairer.freed(ptr[candidates])]
        lately = np.concatenate([np.empty(0, np.uint64), *self._lately])
        unseen = candidates[~np.isin(ptr[candidates], lately)]
        caches, counts = np.unique(cache[unseen], return_counts=True)
        return dict(zip(caches.tolist(), counts.tolist(), strict=True))
