# SPDX-License-Identifier: Apache-2.0
"""A recording that is paired as it goes and not stored: the data of `slabtrace top`.

The traced machine bounds its memory: it has the live objects, one row for each distinct site, stack and
symbol, and the counts of the last WINDOW snapshots.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.mismatches.proof import allocations_unseen
from slabtrace.analysis.names.cache_names import LARGE, UNKNOWN_CACHE
from slabtrace.analysis.names.sites import LARGE_KMALLOC, Sites
from slabtrace.analysis.pairing.paired import How, Paired
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag
from slabtrace.trace.manifest import Manifest

WINDOW = 60  # snapshots over which growth is measured
LEAST = 9  # snapshots that it takes to call growth steady
COLUMNS = (
    "cache", "call_site", "stack_id", "outstanding", "bytes", "allocated", "allocs_per_s", "frees_per_s",
    "growth_per_s", "steady",
)  # fmt: skip
KEYS = {"cache": ("cache",), "call_site": ("cache", "call_site"), "stack": ("cache", "call_site", "stack_id")}


class Snapshot(NamedTuple):
    """Objects `allocated` and `ended` until a time, by site: shape (s,), with the s of that time."""

    ts_ns: int
    allocated: Counts
    ended: Counts


@dataclass
class LiveTables:
    """The side tables that a live view needs.  Names come from the machine: escape them when shown."""

    caches: dict[int, str] = field(default_factory=dict)
    symbols: dict[int, str] = field(default_factory=dict)
    stacks: dict[int, list[int]] = field(default_factory=dict)

    def take(self, table: str, columns: Mapping[str, Any]) -> None:
        """Take rows of a side table."""
        if table == "caches":
            self.caches.update(zip(columns["cache"], columns["name"], strict=True))
        elif table == "stacks":
            self.stacks.update(zip(columns["stack_id"], columns["frames"], strict=True))
        elif table == "symbols":
            names = (columns[name] for name in ("address", "name", "offset", "module"))
            for address, name, offset, module in zip(*names, strict=True):
                self.symbols[address] = f"{name}+{offset:#x}" + (f" [{module}]" if module else "")

    def cache_name(self, key: int) -> str:
        """The name of a cache by its address."""
        known = {0: UNKNOWN_CACHE, LARGE_KMALLOC: LARGE}
        return known.get(key) or self.caches.get(key, f"(cache at {key:#x})")

    def symbol(self, address: int) -> str:
        """The symbol of an address; in hex if there is none."""
        return self.symbols.get(address, f"{address:#x}")

    def stack(self, stack_id: int) -> list[str]:
        """The frames of a stack, innermost first; empty if none was recorded."""
        return [self.symbol(frame) for frame in self.stacks.get(stack_id, [])]


class LiveTrace:
    """A trace.writing.sink.Sink that counts by site; `table` may be called from any thread.

    `second_frees`: frees of objects that were free already.  `mismatches` of them are double frees; missed
    allocations explain the others.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.tables = LiveTables()
        self.bytes = self.segments = 0
        self.events_seen = self.second_frees = 0
        self.ended = False
        self._lock = threading.Lock()
        self._sites = Sites()
        self._pairer: Pairer | None = None
        self._allocated: Counts = np.zeros(0, np.int64)
        self._gone: Counts = np.zeros(0, np.int64)
        self._snapshots: deque[Snapshot] = deque(maxlen=WINDOW)

    @property
    def mismatches(self) -> int:
        """Double frees, at least: as many as events were lost may be missed allocations; so may all if some
        allocations cannot be seen.
        """
        totals = self.manifest.totals
        lost = totals.dropped + totals.late + max(totals.recursion_missed - totals.recovered, 0)
        return 0 if allocations_unseen(self.manifest) else max(self.second_frees - lost, 0)

    def rows(self, table: str, columns: Mapping[str, Any]) -> None:
        """Take rows of a side table."""
        with self._lock:
            self.tables.take(table, columns)
            if table == "sites":
                self._sites.extend(columns)
                more = len(self._sites) - len(self._allocated)
                self._allocated, self._gone = (
                    np.append(each, np.zeros(more, np.int64)) for each in (self._allocated, self._gone)
                )

    def events(self, batch: EventBatch) -> None:
        """Take the next events."""
        with self._lock:
            if self._pairer is None:  # only now: with the first events it is known what is attached
                self._pairer = Pairer.for_trace(self.manifest, self._sites)
            self.events_seen += batch.size
            self._count(self._pairer.feed(batch.ordered()))

    def save_manifest(self) -> None:
        """Does nothing: the manifest is not stored."""

    def close(self, status: str) -> None:
        """Ends the recording; nothing is stored."""
        self.ended = True

    def snapshot(self, now_ns: int) -> None:
        """Pair all events so far, and keep the counts of each site.  Call it about once a second."""
        with self._lock:
            if self._pairer is not None:
                self._count(self._pairer.flush())
            self._snapshots.append(Snapshot(now_ns, self._allocated.copy(), self._gone.copy()))

    def table(self, by: str, choice: Mapping[str, int] | None = None) -> pd.DataFrame:
        """One row for each group of sites that ever allocated: COLUMNS; as of the last snapshot.

        `by`: a key of KEYS; `choice`: only sites with these values (cache is its key, see Sites).
        bytes: bytes_alloc of the outstanding.  allocs_per_s, frees_per_s: since the snapshot before.
        growth_per_s: bytes, over the last WINDOW snapshots; steady: whether every snapshot of the last third
        is above all of the first third.
        """
        with self._lock:
            keys = self._keys(by, choice or {})
            if keys is None or not self._snapshots:
                return pd.DataFrame(columns=list(COLUMNS))
            return self._table(by, *keys)

    def _count(self, paired: Paired | None) -> None:
        if paired is None:
            return
        size = len(self._allocated)
        twice = np.bincount(paired.ended_site[paired.how == How.DUPLICATE], minlength=size)
        self._allocated += np.bincount(paired.site[paired.allocs], minlength=size) - twice
        self._gone += np.bincount(paired.ended_site, minlength=size) - twice
        # what the twin recorded may be the first free again, by a task that was preempted (findings.py)
        flags = self._sites["flags"][paired.site[paired.second_frees]]
        self.second_frees += int(((flags & np.uint8(Flag.RECOVERED)) == 0).sum())

    def _keys(self, by: str, choice: Mapping[str, int]) -> tuple[NDArray[np.intp], pd.DataFrame] | None:
        """The sites to count, and their grouping columns."""
        sites = self._sites
        columns = {
            "cache": sites.cache_key,
            "call_site": sites["call_site"],
            "stack_id": sites["stack_id"].astype(np.int64),
        }
        wanted = ~sites.free
        for name, value in choice.items():
            wanted &= columns[name] == value
        chosen = np.flatnonzero(wanted)
        if not len(chosen):
            return None
        return chosen, pd.DataFrame({name: columns[name][chosen] for name in KEYS[by]})

    def _table(self, by: str, chosen: NDArray[np.intp], keys: pd.DataFrame) -> pd.DataFrame:
        grouped = keys.groupby(list(KEYS[by]), sort=False)
        group, first = grouped.ngroup().to_numpy(), grouped.head(1)
        size = self._sites["bytes_alloc"].astype(np.int64)[chosen]

        def summed(counts: Counts, scale: Any = 1) -> Counts:
            padded = np.append(counts, np.zeros(len(self._sites) - len(counts), np.int64))  # for newer sites
            # float64 holds every count, and every number of bytes, below 2^53 exactly
            return np.bincount(group, padded[chosen] * scale, len(first)).astype(np.int64)

        now, before = self._snapshots[-1], self._snapshots[max(len(self._snapshots) - 2, 0)]
        levels = np.stack([summed(each.allocated - each.ended, size) for each in self._snapshots])
        seconds = max((now.ts_ns - before.ts_ns) / 1e9, 1e-9)
        frame = first.reset_index(drop=True)
        frame["outstanding"] = summed(now.allocated - now.ended)
        frame["bytes"], frame["allocated"] = levels[-1], summed(now.allocated)
        frame["allocs_per_s"] = (summed(now.allocated) - summed(before.allocated)) / seconds
        frame["frees_per_s"] = (summed(now.ended) - summed(before.ended)) / seconds
        whole = max((now.ts_ns - self._snapshots[0].ts_ns) / 1e9, 1e-9)
        frame["growth_per_s"] = (levels[-1] - levels[0]) / whole
        frame["steady"] = _steady(levels)
        return frame.reindex(columns=list(COLUMNS))


def _steady(levels: Counts) -> NDArray[np.bool_]:
    """Whether the last third of each column of `levels` (snapshots, groups) is above the first: (groups,)."""
    third = len(levels) // 3
    if len(levels) < LEAST:
        return np.zeros(levels.shape[1], np.bool_)
    risen: NDArray[np.bool_] = levels[-third:].min(axis=0) > levels[:third].max(axis=0)
    return risen
