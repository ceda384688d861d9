# SPDX-License-Identifier: Apache-2.0
"""Totals by address, as `perf kmem stat --alloc` has them: which addresses are used again and again."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import How, Paired
from slabtrace.columns import POINTERS

AT_ONCE = 1 << 20  # rows that wait to be summed
COLUMNS = POINTERS.names


class Pointers:
    """Sums allocations by ptr.  It takes 40 bytes of memory for each address ever allocated."""

    def __init__(self, sites: Sites) -> None:
        self._req = sites["bytes_req"].astype(np.int64)
        self._alloc = sites["bytes_alloc"].astype(np.int64)
        self._ptr: list[NDArray[np.uint64]] = []
        self._sums: list[NDArray[np.int64]] = []
        self._waiting = 0

    def add(self, paired: Paired) -> None:
        """Take one chunk; an allocation recorded twice counts once."""
        allocs, twice = paired.allocs, paired.alloc[paired.ended(How.DUPLICATE)]
        self._put(paired, allocs, 1)
        self._put(paired, twice, -1)
        cpu = paired.events.cpu
        moved = np.flatnonzero((cpu[paired.alloc] != cpu[paired.end]) & (paired.how == How.FREED))
        pingpong = np.zeros((len(moved), 4), np.int64)
        pingpong[:, 3] = 1
        self._append(paired.events.ptr[paired.alloc[moved]], pingpong)

    def table(self) -> pd.DataFrame:
        """One row per address, most bytes_alloc first: COLUMNS."""
        ptr, sums = self._merged()
        frame = pd.DataFrame(sums, columns=["hits", "bytes_req", "bytes_alloc", "pingpong"])
        frame.insert(0, "ptr", ptr)
        frame["frag"] = 1 - frame["bytes_req"] / frame["bytes_alloc"].clip(lower=1)
        frame = frame.sort_values(["bytes_alloc", "hits"], ascending=False, kind="stable")
        return frame[list(COLUMNS)].reset_index(drop=True)

    def _put(self, paired: Paired, allocs: NDArray[np.intp], sign: int) -> None:
        site = paired.site[allocs]
        columns = (
            np.ones(len(site), np.int64),
            self._req[site],
            self._alloc[site],
            np.zeros(len(site), np.int64),
        )
        self._append(paired.events.ptr[allocs], sign * np.stack(columns, axis=1))

    def _append(self, ptr: NDArray[np.uint64], sums: NDArray[np.int64]) -> None:
        self._ptr.append(ptr)
        self._sums.append(sums)
        self._waiting += len(ptr)
        if self._waiting > max(AT_ONCE, 2 * len(self._ptr[0])):
            merged_ptr, merged = self._merged()
            self._ptr, self._sums, self._waiting = [merged_ptr], [merged], 0

    def _merged(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        if not self._ptr:
            return np.empty(0, np.uint64), np.empty((0, 4), np.int64)
        ptr, sums = np.concatenate(self._ptr), np.concatenate(self._sums)
        order = np.argsort(ptr, kind="stable")
        ordered = ptr[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
        if not len(starts):
            return ordered, sums
        return ordered[starts], np.add.reduceat(sums[order], starts, axis=0)
