# SPDX-License-Identifier: Apache-2.0
"""Which objects the slabs listed as free at the end of the recording (slabs.arrow).

An object that is outstanding by the events, and free by its slab, was freed without being seen.  One that its
slab does not list as free is in use, unless it was freed and its address allocated again, both without being
seen.  Nothing is known of slabs that were not read, and of objects allocated after they were read.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch, UInt64


class SlabStates:
    """The state of every object of n slabs, sorted by address; of a slab that was read twice the later one.

    `ts_ns` (when the slab was read) and `cache` (address of its kmem_cache) have shape (n,).
    """

    def __init__(self, table: pa.Table) -> None:
        """`table`: columns as in schema.SLABS; rows that contradict themselves are left out."""
        order = np.argsort(plain(table.column("slab")), kind="stable")
        bits_given = np.array([8 * len(row) for row in table.column("free").to_pylist()], np.int64)
        objects = plain(table.column("objects"))
        sound = (objects > 0) & (objects <= bits_given) & (plain(table.column("stride")) > 0)
        order = order[sound[order]]
        order = order[_last_of_each(plain(table.column("slab"))[order])]
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
        """(positions in `live` of the objects listed as free, when their slabs were read), shape (m,)."""
        slab, bit = self._find(live)
        free = np.flatnonzero((slab >= 0) & self._free[bit]) if len(self) else np.empty(0, np.intp)
        return free, self.ts_ns[slab[free]]

    def held(self, live: EventBatch) -> NDArray[np.bool_]:
        """Which objects of `live` were in use at the end by their slabs, shape (n,)."""
        if not len(self):
            return np.zeros(live.size, np.bool_)
        slab, bit = self._find(live)
        return (slab >= 0) & ~self._free[bit]

    def in_use(self) -> tuple[UInt64, UInt64, NDArray[np.int64]]:
        """(address, address of its cache, when its slab was read) of all objects in use, shape (m,) each.

        By address, ascending.
        """
        count = self._objects
        slab = np.repeat(np.arange(len(self)), count)
        index = np.arange(len(slab)) - np.repeat(np.cumsum(count) - count, count)
        used = np.flatnonzero(~self._free[self._begin[slab] + index])
        slab, index = slab[used], index[used]
        ptr = self._slab[slab] + self._stride[slab] * index.astype(np.uint64)
        order = np.argsort(ptr, kind="stable")  # slabs of a damaged trace may overlap
        return ptr[order], self.cache[slab[order]], self.ts_ns[slab[order]]

    def cache_at(self, ptr: int) -> int:
        """The cache of the slab around an address when it was read; 0 if it was not."""
        slab = int(np.searchsorted(self._slab, np.uint64(ptr), side="right")) - 1
        if slab < 0 or ptr >= int(self._slab[slab]) + int(self._stride[slab]) * int(self._objects[slab]):
            return 0
        return int(self.cache[slab])

    def _find(self, live: EventBatch) -> tuple[Positions, Positions]:
        """(slab, bit) of each object; (-1, 0) where its state is not known."""
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


def _last_of_each(slab: UInt64) -> NDArray[np.bool_]:
    """Which rows are the last of their slab; `slab`, shape (n,), ascending."""
    return np.append(slab[1:] != slab[:-1], np.ones(min(len(slab), 1), np.bool_))
