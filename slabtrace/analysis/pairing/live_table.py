# SPDX-License-Identifier: Apache-2.0
"""Live objects that no recent event concerned: a sorted table that is not sorted again with every chunk.

Where millions of objects are live, nearly all of them have no event in a chunk.  The table hands out those
that have one (`take`), and the Pairer sorts only these with the chunk.  What is still live afterwards comes
back (`absorb`) once it is many.  An address that is in the table already is written in place; new ones are
merged in.  So an event costs a binary search, and the table is copied only as often as it takes in new
addresses.

Example: a table with objects at 0x10, 0x20 and 0x30.

    what happens                     what it does                                     objects in the table
    a chunk: free 0x20, alloc 0x40   take: hands out 0x20                             0x10, 0x30
    absorb 0x40                      new address: merged in                           0x10, 0x30, 0x40
    a chunk: alloc 0x20              take: nothing is live at 0x20                    0x10, 0x30, 0x40
    absorb 0x20                      known address: written in place                  0x10, 0x20, 0x30, 0x40
"""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch, UInt64

SPARE_SHARE = 2  # rows may be this many times the live objects, before the rows of others are dropped


class LiveTable:
    """Objects by address.  `live`: how many there are."""

    def __init__(self, none: EventBatch) -> None:
        self._rows, self._is_live = none, np.zeros(none.size, np.bool_)
        self.live = 0

    def take(self, ptr: UInt64, begin: UInt64, size: UInt64) -> EventBatch:
        """Remove and return the objects at the addresses `ptr`, and in [begin, begin + size), by address.

        `begin` and `size`, shape (r,): ranges, as those of slabs that end.
        """
        if not self.live:
            return self._rows.take(slice(0))
        at = np.concatenate([self._at_exactly(np.sort(ptr)), self._within(begin, size)])
        at = np.sort(at[self._is_live[at]])
        at = at[np.append(True, at[1:] != at[:-1])[: len(at)]]  # np.unique hashes: several times slower
        self._is_live[at] = False
        self.live -= len(at)
        return self._rows.take(at)

    def absorb(self, objects: EventBatch) -> None:
        """Add objects, sorted by address; none may be in the table as live."""
        at = np.searchsorted(self._rows.ptr, objects.ptr)
        known = at < self._rows.size
        known[known] = self._rows.ptr[at[known]] == objects.ptr[known]
        for name in EventBatch._fields:
            getattr(self._rows, name)[at[known]] = getattr(objects, name)[known]
        self._is_live[at[known]] = True
        self._insert(at[~known], objects.take(np.flatnonzero(~known)))
        self.live += objects.size
        if self._rows.size > SPARE_SHARE * self.live:
            self._rows, self._is_live = self.objects(), np.ones(self.live, np.bool_)

    def objects(self) -> EventBatch:
        """All of them, by address."""
        return self._rows.take(np.flatnonzero(self._is_live))

    def _insert(self, at: Positions, objects: EventBatch) -> None:
        columns = ((getattr(self._rows, name), getattr(objects, name)) for name in EventBatch._fields)
        self._rows = EventBatch(*(np.insert(column, at, new, axis=0) for column, new in columns))
        self._is_live = np.insert(self._is_live, at, True, axis=0)

    def _at_exactly(self, ptr: UInt64) -> Positions:
        """Rows of the addresses `ptr`, ascending: a search for sorted ones is several times faster."""
        at = np.searchsorted(self._rows.ptr, ptr)
        at[at == self._rows.size] = 0
        same: Positions = at[self._rows.ptr[at] == ptr]
        return same

    def _within(self, begin: UInt64, size: UInt64) -> Positions:
        """Rows in the ranges; an end beyond the last address is the last address."""
        last = begin + np.minimum(np.maximum(size, 1) - 1, np.iinfo(np.uint64).max - begin)
        low = np.searchsorted(self._rows.ptr, begin)
        count = np.searchsorted(self._rows.ptr, last, side="right") - low
        return np.repeat(low - np.cumsum(count) + count, count) + np.arange(count.sum())
