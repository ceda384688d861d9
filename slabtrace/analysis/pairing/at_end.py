# SPDX-License-Identifier: Apache-2.0
"""Rows that were written at the end of a recording about single objects (pins.arrow, charged.arrow).

A row is about an object that was allocated before its ts_ns and is outstanding.
"""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch, Int64, UInt64


class AtEnd:
    """Finds the row of an object; of several with its address the last."""

    def __init__(self, ptr: UInt64, ts_ns: Int64) -> None:
        """Of each row, shape (r,)."""
        self._order = np.argsort(ptr, kind="stable")
        self._ptr, self._ts_ns = ptr[self._order], ts_ns[self._order]

    def rows(self, live: EventBatch) -> Positions:
        """The row of each object of `live`, -1 if there is none; shape (n,)."""
        if not len(self._ptr):
            return np.full(live.size, -1, np.intp)
        at = np.searchsorted(self._ptr, live.ptr, side="right") - 1
        known = (at >= 0) & (self._ptr[at] == live.ptr) & (live.ts_ns < self._ts_ns[at])
        return np.where(known, self._order[at], -1)
