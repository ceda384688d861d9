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

from slabtrace.analysis.pairing.at_end import AtEnd
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch

UNKNOWN, FREEABLE, PINNED = -1, 0, 1


class Pins:
    """The states of n objects."""

    def __init__(self, table: pa.Table) -> None:
        """`table`: columns as in schema.PINS; a value of `pinned` that is not known is left out."""
        pinned, ptr, ts_ns = (plain(table.column(name)) for name in ("pinned", "ptr", "ts_ns"))
        known = pinned <= PINNED
        self._at_end = AtEnd(ptr[known], ts_ns[known])
        self._pinned = np.append(pinned[known].astype(np.int8), np.int8(UNKNOWN))

    def __len__(self) -> int:
        """The number of objects."""
        return len(self._pinned) - 1

    def pinned(self, live: EventBatch) -> NDArray[np.int8]:
        """The state of each object of `live`: 1 pinned, 0 not pinned, -1 not known; shape (n,)."""
        return self._pinned[self._at_end.rows(live)]  # row -1: the last
