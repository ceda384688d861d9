# SPDX-License-Identifier: Apache-2.0
"""Which dentries and inodes were pinned at the end of the recording (pins.arrow).

A pinned object is held by somebody.  One that is not pinned is only cached: the kernel gives it up when
memory is short.  Nothing is known of other objects, of slabs that were not read, of objects allocated after
they were read, and of traces older than format 2.1.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch

UNKNOWN, FREEABLE, PINNED = -1, 0, 1


class Pins:
    """The states of n objects, sorted by address."""

    def __init__(self, table: pa.Table) -> None:
        """`table`: columns as in schema.PINS; a value of `pinned` that is not known is left out."""
        pinned = plain(table.column("pinned"))
        ptr = plain(table.column("ptr"))
        order = np.argsort(ptr, kind="stable")
        order = order[pinned[order] <= PINNED]
        self._ptr, self._pinned = ptr[order], pinned[order].astype(np.int8)
        self._ts_ns = plain(table.column("ts_ns"))[order]

    def __len__(self) -> int:
        return len(self._ptr)

    def pinned(self, live: EventBatch) -> NDArray[np.int8]:
        """The state of each object of `live`: 1 pinned, 0 not pinned, -1 not known; shape (n,)."""
        if not len(self):
            return np.full(live.size, UNKNOWN, np.int8)
        at = np.searchsorted(self._ptr, live.ptr, side="right") - 1
        known = (at >= 0) & (self._ptr[at] == live.ptr) & (live.ts_ns < self._ts_ns[at])
        return np.where(known, self._pinned[at], np.int8(UNKNOWN))
