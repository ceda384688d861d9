# SPDX-License-Identifier: Apache-2.0
"""The sink of `slabtrace top`: events are paired and counted as they come; now and then all is judged.

The traced machine bounds its memory: it has the live objects, one row for each distinct site, stack and
symbol, 16 bytes for each free of an older object, and the counts of the last WINDOW snapshots.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.live.gathered import Gathered
from slabtrace.analysis.live.judging import SETTLED_NS, LiveJudgement, SoFar, unjudged
from slabtrace.analysis.live.tables import LiveTables
from slabtrace.analysis.mismatches.proof import allocations_unseen
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import Paired
from slabtrace.analysis.pairing.pairer import NONE, Pairer
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Manifest

WINDOW = 60  # snapshots over which growth is measured
# All is judged again after so long, after this share of the time so far, and so many times what it cost.
PAUSE_NS, PAUSE_SHARE, PAUSE_COSTS = 2_000_000_000, 0.05, 20
COLUMNS = (
    "cache", "call_site", "stack_id", "outstanding", "bytes", "allocated", "allocs_per_s", "frees_per_s",
    "growth_per_s", "finding", "class", "comms", "pids", "own",
)  # fmt: skip
OBJECTS = ("class", "comms", "pids")
KEYS = {"cache": ("cache",), "call_site": ("cache", "call_site"), "stack": ("cache", "call_site", "stack_id")}


class Snapshot(NamedTuple):
    """Objects `allocated` and `ended` until a time, by site: shape (s,), with the s of that time."""

    ts_ns: int
    allocated: Counts
    ended: Counts


class LiveTrace:
    """A trace.writing.sink.Sink that counts by site; `table` may be called from any thread.

    `judgement`: the last one, None in the first second.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.tables = LiveTables()
        self.bytes = self.segments = 0
        self.events_seen = 0
        self.ended = False
        self.judgement: LiveJudgement | None = None
        self._judge_at_ns = 0
        self._lock = threading.Lock()
        self._sites = Sites()
        self._gathered = Gathered(self._sites)
        self._pairer: Pairer | None = None
        self._snapshots: deque[Snapshot] = deque(maxlen=WINDOW)

    @property
    def second_frees(self) -> int:
        """Frees of objects that were free already; `mismatches` of them are double frees."""
        return self._gathered.second_frees

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
                self._gathered.grow()

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
        """Pair all events so far, keep the counts of each site, judge if it is time.

        Call it about once a second, always from the same thread.
        """
        with self._lock:
            if self._pairer is not None:
                self._count(self._pairer.flush())
            counts = self._gathered.allocated.copy(), self._gathered.ended.copy()
            self._snapshots.append(Snapshot(now_ns, *counts))
        if now_ns >= max(self._judge_at_ns, self.manifest.started_ns + SETTLED_NS):
            self.judge(now_ns)

    def judge(self, now_ns: int) -> None:
        """Judge all that was paired by the last snapshot.  `snapshot` does so now and then."""
        began_ns = time.thread_time_ns()
        with self._lock:
            live = NONE if self._pairer is None else self._pairer.live
            so_far = SoFar.of(self.manifest, self.tables, self._gathered, live, now_ns)
        self.judgement = so_far.judged()
        took_ns, elapsed_ns = time.thread_time_ns() - began_ns, now_ns - self.manifest.started_ns
        self._judge_at_ns = now_ns + max(PAUSE_NS, round(PAUSE_SHARE * elapsed_ns), PAUSE_COSTS * took_ns)

    def table(self, by: str, choice: Mapping[str, int] | None = None) -> pd.DataFrame:
        """One row for each group of sites that ever allocated: COLUMNS; as of the last snapshot.

        `by`: a key of KEYS; `choice`: only sites with these values (cache is its key, see Sites).
        bytes: bytes_alloc of the outstanding.  allocs_per_s, frees_per_s: since the snapshot before.
        growth_per_s: bytes, over the last WINDOW snapshots.  By the last judgement: finding, the rank of the
        gravest finding that has objects of the row (0: none), its class; comms and pids, who allocated them,
        most objects first; own, whether the recorder did.
        """
        with self._lock:
            keys = self._keys(by, choice or {})
            if keys is None or not self._snapshots:
                return pd.DataFrame(columns=list(COLUMNS))
            return self._table(by, *keys)

    def _count(self, paired: Paired | None) -> None:
        if paired is not None:
            self._gathered.add(paired)

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
        row = np.full(len(self._sites), -1, np.intp)
        row[chosen] = group
        judged = self.judgement
        said = unjudged(len(frame)) if judged is None else judged.of_rows(row, len(frame))
        for name, column in said.items():
            frame[name] = pd.Series(column, dtype=object if name in OBJECTS else None)
        return frame.reindex(columns=list(COLUMNS))
