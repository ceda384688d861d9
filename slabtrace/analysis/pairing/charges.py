# SPDX-License-Identifier: Apache-2.0
"""The memory cgroups that objects were charged to at the end of the recording (charged.arrow).

It need not be the cgroup of the task that allocated: the kernel charges an event of inotify to who watches,
an accepted socket to who accepts, and what a cgroup that was removed was charged for to its parent.
Nothing is known of slabs that were not read, of objects allocated after they were read, of large kmallocs,
and of traces older than format 2.2.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from slabtrace.analysis.pairing.at_end import AtEnd
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.processes.processes import Cgroups
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import CGROUPS, CHARGED

NOT_KNOWN = -1
NOT_CHARGED = "(not charged)"
Cgroup = tuple[int, int]  # hierarchy, number; the number 0 is none


class Charges:
    """`cgroups`: all that are charged, and perhaps (hierarchy, 0) for objects that are charged to none."""

    def __init__(self, table: pa.Table, named: Cgroups) -> None:
        """`table`: columns as in schema.CHARGED."""
        self._at_end = AtEnd(plain(table.column("ptr")), plain(table.column("ts_ns")))
        pairs = np.stack([plain(table.column(name)).astype(np.uint64) for name in ("hierarchy", "cgroup")])
        pairs[0, pairs[1] == 0] = 0
        keys, which = np.unique(pairs, axis=1, return_inverse=True)
        self.cgroups: list[Cgroup] = [(int(hierarchy), int(number)) for hierarchy, number in keys.T]
        self._which: Positions = np.append(which.reshape(-1), NOT_KNOWN)
        self._named = named

    def __len__(self) -> int:
        """The number of objects."""
        return len(self._which) - 1

    def of(self, live: EventBatch) -> Positions:
        """What each object of `live` is charged to, an index of `cgroups`, or NOT_KNOWN; shape (n,)."""
        return self._which[self._at_end.rows(live)]

    def text(self, cgroup: int) -> str:
        """The path of cgroups[cgroup], else its number, NOT_CHARGED for none.  Hostile text: escape it."""
        key = self.cgroups[cgroup]
        return self._named.text(key) if key[1] else NOT_CHARGED


def no_charges() -> Charges:
    """Of a recording that has none."""
    return Charges(CHARGED.empty_table(), Cgroups(CGROUPS.empty_table()))
