# SPDX-License-Identifier: Apache-2.0
"""The side tables that a live view needs, in bounded memory.

There is one row for each distinct cache, stack and symbol; MOST_LOSSES rows of the ledger at most, for
losses of unknown time are counted, too (trust.losses); and tasks that have live objects, or are recent.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.names.cache_names import LARGE, OTHER_MEMORY, UNKNOWN_CACHE
from slabtrace.analysis.names.sites import LARGE_KMALLOC
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format import schema
from slabtrace.trace.format.arrays import column
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Manifest

MOST_LOSSES = 10_000
MOST_TASKS = 1 << 17  # rows; beyond it half of them go


class KernelCount(NamedTuple):
    """The kernel's own count of a cache, from slabinfo: active objects at first and at last."""

    first: int
    last: int
    objsize: int
    objperslab: int


class LiveTables:
    """Takes rows as the recorder writes them.  Names come from the machine: escape them when shown."""

    def __init__(self) -> None:
        self.symbols = Symbols(schema.SYMBOLS.empty_table())
        self.kernel: dict[str, KernelCount] = {}
        self._caches: dict[int, dict[str, Any]] = {}
        self._stacks: dict[int, list[int]] = {}
        self._losses: deque[tuple[Any, ...]] = deque(maxlen=MOST_LOSSES)
        self._tasks: tuple[array[int], array[int], array[int]] = array("q"), array("I"), array("I")
        self._comms: list[str] = []

    def take(self, table: str, columns: Mapping[str, Any]) -> None:
        """Take rows of a side table; of those that are not needed, nothing is kept."""
        if table == "caches":
            rows = zip(*(columns[name] for name in schema.CACHES.names), strict=True)
            made = (dict(zip(schema.CACHES.names, row, strict=True)) for row in rows)
            self._caches.update((int(each["cache"]), each) for each in made)
        elif table == "stacks":
            self._stacks.update(zip(columns["stack_id"], columns["frames"], strict=True))
        elif table == "symbols":
            self.symbols.extend(columns)
        elif table == "tasks":
            for kept, name in zip(self._tasks, schema.TASKS.names[:3], strict=True):
                kept.extend(columns[name])
            self._comms.extend(columns["comm"])
        elif table == "losses":
            self._losses.extend(zip(*(columns[name] for name in schema.LOSSES.names), strict=True))
        elif table == "slabinfo":
            self._take_slabinfo(columns)

    def cache_name(self, key: int) -> str:
        """The name of a cache by its address."""
        known = {0: UNKNOWN_CACHE, LARGE_KMALLOC: LARGE, **OTHER_MEMORY}
        cache = self._caches.get(key)
        return known.get(key) or (f"(cache at {key:#x})" if cache is None else str(cache["name"]))

    def symbol(self, address: int) -> str:
        """The symbol of an address; in hex if there is none."""
        return self.symbols.name(address)

    def stack(self, stack_id: int) -> list[str]:
        """The frames of a stack, innermost first; empty if none was recorded."""
        return [self.symbol(frame) for frame in self._stacks.get(stack_id, [])]

    def lookup(self, manifest: Manifest, live: EventBatch) -> Lookup:
        """Names of addresses, stacks and tasks as of now.  `live`: the live objects.

        If there are many tasks, half of them are forgotten, but none that has live objects.  Of one that
        allocates again later nothing is known then.
        """
        stacks = Stacks(_table(schema.STACKS, list(self._stacks), list(self._stacks.values())), self.symbols)
        tasks = Tasks(_table(schema.TASKS, *map(np.array, self._tasks), self._comms))
        if len(self._comms) > MOST_TASKS:
            self._forget(tasks, tasks.rows(live.tid, live.ts_ns))
        own, page_size = manifest.recorder.pid, manifest.host.page_size
        return Lookup(self.symbols, stacks, tasks, manifest.started_ns, own, page_size=page_size)

    def caches(self) -> pa.Table:
        """The caches as of now: schema.CACHES."""
        return pa.Table.from_pylist(list(self._caches.values()), schema.CACHES)

    def losses(self) -> pa.Table:
        """The newest losses: schema.LOSSES."""
        rows = [dict(zip(schema.LOSSES.names, row, strict=True)) for row in self._losses]
        return pa.Table.from_pylist(rows, schema.LOSSES)

    def _forget(self, tasks: Tasks, needed: Positions) -> None:
        """Keep the newest tasks, and the rows `needed` (-1: none)."""
        newest = np.argsort(tasks.ts_ns, kind="stable")[-MOST_TASKS // 2 :]
        rows = np.union1d(newest, needed[needed >= 0])
        columns = tasks.ts_ns[rows], tasks.tid[rows], tasks.tgid[rows]
        self._tasks = array("q", columns[0]), array("I", columns[1]), array("I", columns[2])
        self._comms = [tasks.comm[row] for row in rows.tolist()]

    def _take_slabinfo(self, columns: Mapping[str, Any]) -> None:
        names = ("name", "active_objs", "objsize", "objperslab")
        for name, active, objsize, objperslab in zip(*(columns[each] for each in names), strict=True):
            first = self.kernel[name].first if name in self.kernel else active
            self.kernel[name] = KernelCount(first, active, objsize, objperslab)


def _table(kind: pa.Schema, *columns: Any) -> pa.Table:
    arrays = [column(each, field.type) for each, field in zip(columns, kind, strict=True)]
    return pa.Table.from_arrays(arrays, schema=kind)
