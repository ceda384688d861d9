# SPDX-License-Identifier: Apache-2.0
"""The process and the name of a task at a time: an as-of join with tasks.arrow."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.trace.format.arrays import column, plain

UNKNOWN_TGID = np.uint32(0)  # of a task that tasks.arrow does not know
SOON_NS = 10_000_000_000  # the kernel does not reuse a pid so soon


class Tasks:
    """The rows of tasks.arrow, found by (tid, time).

    The keys are integers, tid * (rows + 1) + rank of the time, so one searchsorted finds all.
    """

    def __init__(self, table: pa.Table) -> None:
        tid = plain(table.column("tid"))
        ts_ns = plain(table.column("ts_ns"))
        self._times = np.sort(ts_ns)
        keys = self._key(tid, ts_ns)
        order = np.argsort(keys, kind="stable")
        named = np.array([bool(comm) for comm in table.column("comm").to_pylist()], np.bool_)[order]
        tgid = plain(table.column("tgid"))
        order = order[named | ~_near_a_name(tid[order], tgid[order], ts_ns[order], named)]
        self._keys, self.ts_ns = keys[order], ts_ns[order]
        self.tid: NDArray[np.uint32] = tid[order]
        self.tgid: NDArray[np.uint32] = tgid[order]
        self.comm: list[str] = table.column("comm").take(column(order, pa.int64())).to_pylist()

    def _key(self, tid: NDArray[np.uint32], ts_ns: NDArray[np.int64]) -> NDArray[np.uint64]:
        rank = np.searchsorted(self._times, ts_ns, side="right").astype(np.uint64)
        return tid.astype(np.uint64) * np.uint64(len(self._times) + 1) + rank

    def rows(self, tid: NDArray[np.uint32], ts_ns: NDArray[np.int64]) -> NDArray[np.intp]:
        """The row that held at each (tid, time), -1 for an unknown task: shape (n,).

        A row indexes `ts_ns`, `tid`, `tgid` and `comm`.  Before a task's first row, that first one holds.
        """
        if not len(self._keys):
            return np.full(len(tid), -1, np.intp)
        row = np.searchsorted(self._keys, self._key(tid, ts_ns), side="right") - 1
        early = (row < 0) | (self.tid[row] != tid)
        row[early] = np.minimum(row[early] + 1, len(self._keys) - 1)
        row[self.tid[row] != tid] = -1
        return row


def _near_a_name(
    tid: NDArray[np.uint32], tgid: NDArray[np.uint32], ts_ns: NDArray[np.int64], named: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether a neighbouring row, soon before or after, has a name for the same task: shape (n,).

    The rows are sorted by task, then time.  An event of a task may arrive before the task's name, which was
    recorded on another CPU.  The task then has a row without a name, which must not hide its name.
    """
    same = (tid[1:] == tid[:-1]) & (tgid[1:] == tgid[:-1]) & (ts_ns[1:] - ts_ns[:-1] < SOON_NS)
    near = np.zeros(len(tid), np.bool_)
    near[1:] |= same & named[:-1]
    near[:-1] |= same & named[1:]
    return near
