# SPDX-License-Identifier: Apache-2.0
"""What the slabs themselves said at the end of the recording (slabs.arrow): which objects were free.

An object that the events leave live, and that its slab held free, was freed unseen.  One that its
slab held in use was not, unless it was freed and its address taken again, both unseen.  Of
objects on slabs that were not asked, or allocated after that, nothing is known.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch, UInt64


class SlabStates:
    """The objects of n slabs: `free` of those from `begin[i]` on are of slab i, in order of address."""

    def __init__(self, table: pa.Table) -> None:
        """`table`: columns as in schema.SLABS; rows that contradict themselves are not believed."""
        order = np.argsort(plain(table.column("slab")), kind="stable")
        told = np.array([8 * len(row) for row in table.column("free").to_pylist()], np.int64)
        objects = plain(table.column("objects"))
        sound = (objects > 0) & (objects <= told) & (plain(table.column("stride")) > 0)
        order = order[sound[order]]
        self.ts_ns = plain(table.column("ts_ns"))[order]
        self.cache = plain(table.column("cache"))[order]
        self._slab = plain(table.column("slab"))[order]
        self._stride = plain(table.column("stride"))[order].astype(np.uint64)
        self._objects = objects[order].astype(np.intp)
        rows = [table.column("free")[int(row)].as_py() for row in order]
        bits = np.unpackbits(np.frombuffer(b"".join(rows), np.uint8), bitorder="little")
        begin = np.cumsum([8 * len(row) for row in rows]) - [8 * len(row) for row in rows]
        self._begin = np.asarray(begin, np.intp)
        self._free = bits.astype(np.bool_)

    def __len__(self) -> int:
        return len(self._slab)

    def free_at_last(self, live: EventBatch) -> tuple[Positions, NDArray[np.int64]]:
        """(positions in `live` of what was freed unseen, the times by which that was), shape (m,)."""
        slab, bit = self._find(live)
        free = np.flatnonzero((slab >= 0) & self._free[bit]) if len(self) else np.empty(0, np.intp)
        return free, self.ts_ns[slab[free]]

    def held(self, live: EventBatch) -> NDArray[np.bool_]:
        """Which objects of `live` their slabs held in use, shape (n,)."""
        if not len(self):
            return np.zeros(live.size, np.bool_)
        slab, bit = self._find(live)
        return (slab >= 0) & ~self._free[bit]

    def in_use(self) -> tuple[UInt64, UInt64]:
        """(addresses of all objects in use, the cache of each), ascending, shape (m,)."""
        count = self._objects
        slab = np.repeat(np.arange(len(self)), count)
        index = np.arange(len(slab)) - np.repeat(np.cumsum(count) - count, count)
        used = np.flatnonzero(~self._free[self._begin[slab] + index])
        slab, index = slab[used], index[used]
        return self._slab[slab] + self._stride[slab] * index.astype(np.uint64), self.cache[slab]

    def _find(self, live: EventBatch) -> tuple[Positions, Positions]:
        """(slab, bit) of each object; slab -1 where nothing is known of it, and bit 0 then."""
        if not len(self):
            return np.full(live.size, -1, np.intp), np.zeros(live.size, np.intp)
        slab = np.searchsorted(self._slab, live.ptr, side="right") - 1
        into = live.ptr - self._slab[slab]
        index = into // self._stride[slab]  # up to 2^64: compared before it is signed
        known = (
            (slab >= 0) & (index < self._objects[slab].astype(np.uint64)) & (into % self._stride[slab] == 0)
        )
        known &= live.ts_ns < self.ts_ns[slab]
        bit = self._begin[slab] + index.astype(np.intp)
        return np.where(known, slab, -1), np.where(known, bit, 0)
