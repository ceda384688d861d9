# SPDX-License-Identifier: Apache-2.0
"""Allocations that were missed: their objects are in use at the end, though free by the events.

A cache without such an object shows no sign of missed allocations (trust/confidence.py needs that).
"""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.pairing.paired import Paired
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.slab_states import SlabStates

BEFORE_NS = 10_000_000  # the longest time from the report of a free to the moment the object is free


class UnseenAllocations:
    """Counts the objects that are in use by their slabs, and free by the events.

    Memory: 25 bytes for each object in use in slabs.arrow, however many events there are.
    """

    def __init__(self, slabs: SlabStates) -> None:
        self._ptr, self._cache, asked_ns = slabs.in_use()
        self._since_ns = np.maximum(asked_ns, np.iinfo(np.int64).min + BEFORE_NS) - BEFORE_NS
        self._first_ns = int(self._since_ns.min()) if len(self._ptr) else 0
        self._changed = np.zeros(len(self._ptr), np.bool_)

    def add(self, paired: Paired) -> None:
        """Take one chunk.  Objects with an event since their slab was read do not count: they changed."""
        events = paired.events
        first = paired.begin + int(np.searchsorted(events.ts_ns[paired.own], self._first_ns))
        if not len(self._ptr) or first >= events.size:
            return
        ptr, ts_ns = events.ptr[first:], events.ts_ns[first:]
        place = np.minimum(np.searchsorted(self._ptr, ptr), len(self._ptr) - 1)
        changed = (self._ptr[place] == ptr) & (ts_ns >= self._since_ns[place])
        self._changed[place[changed]] = True

    def by_cache(self, pairer: Pairer) -> dict[int, int]:
        """{address of the cache: number of objects}, once `pairer` has taken all events."""
        ptr, live = self._ptr, pairer.live.ptr
        place = np.minimum(np.searchsorted(live, ptr), max(len(live) - 1, 0))
        is_live = live[place] == ptr if len(live) else np.zeros(len(ptr), np.bool_)
        candidates = np.flatnonzero(~is_live & ~self._changed)
        unseen = candidates[pairer.freed(ptr[candidates])]
        caches, counts = np.unique(self._cache[unseen], return_counts=True)
        return dict(zip(caches.tolist(), counts.tolist(), strict=True))
