# SPDX-License-Identifier: Apache-2.0
"""A stretch of a recording, read as if nothing else had been recorded.

Objects allocated before it count as older than the recording.  Objects allocated in it and not freed by its
end are outstanding.  Losses stay those of the whole recording, because the counters are only read once a
second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from slabtrace.errors import UsageError
from slabtrace.trace.files.segments import Segment
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.event_columns import times
from slabtrace.trace.reading.reader import TraceReader

SAMPLED = {"slabinfo": "name", "memory": "counter"}  # tables of what was last sampled, and of what


class WindowReader(TraceReader):
    """The events of a trace from `begin_ns` on, before `end_ns` (ns since the recording's start).

    Raises UsageError for a window that is empty or outside the recording.
    """

    def __init__(self, path: str | os.PathLike[str], begin_ns: int, end_ns: int) -> None:
        super().__init__(path)
        started, ended = super().span()
        self._begin, self._end = started + max(begin_ns, 0), min(started + end_ns, ended)
        if self._begin >= self._end:
            raise UsageError(
                f"nothing lies between {begin_ns / 1e9:g} s and {end_ns / 1e9:g} s",
                f"the recording lasted {(ended - started) / 1e9:g} s; --from must be earlier than --to",
            )

    def span(self) -> tuple[int, int]:
        """Start and end of the window, CLOCK_MONOTONIC ns."""
        return self._begin, self._end

    @property
    def since_ns(self) -> int:
        """The begin of the window, also in a part of a series."""
        return self._begin

    @property
    def series_is_cut(self) -> bool:
        """False: only the window is judged."""
        return False

    def events(self) -> Iterator[EventBatch]:
        """As TraceReader.events, but only those of the window."""
        for batch in super().events():
            if not batch.size or batch.ts_ns[-1] < self._begin:
                continue
            if batch.ts_ns[0] >= self._end:
                break  # all that follows is later, but for late events
            if batch.ts_ns[0] >= self._begin and batch.ts_ns[-1] < self._end:
                yield batch
            else:
                yield batch.take(np.flatnonzero((batch.ts_ns >= self._begin) & (batch.ts_ns < self._end)))

    def _segments_read(self) -> list[str]:
        """Without segments that end before the window: those that follow begin before it."""
        first = [self._first_ns(name) for name in self.segments]
        begun = np.flatnonzero(np.array(first, np.int64) <= self._begin)
        return self.segments[int(begun[-1]) if len(begun) else 0 :]

    def _first_ns(self, name: str) -> int:
        """When the first event of a segment came; the end of time if there is none."""
        segment = Segment(self._files, name, self._events_schema)
        columns = [name for name in self._events_schema.names if name.startswith("ts_")]
        first = next(segment.batches(columns), None)
        ts_ns = times(first) if first is not None else np.empty(0, np.int64)
        return int(ts_ns.min(initial=np.iinfo(np.int64).max))

    def table(self, name: str) -> pa.Table:
        """As TraceReader.table; of slabinfo and memory the last samples before the window and those in it.

        The states of slabs and of their objects are those at the end of the recording; a window that ends
        earlier has none.
        """
        table = super().table(name)
        if name == "counted" and len(table):
            middle = plain(table.column("begin_ns")) // 2 + plain(table.column("end_ns")) // 2
            return table.filter(pa.array((middle >= self._begin) & (middle < self._end)))
        if name in ("slabs", "pins", "charged", "objects") and len(table):
            return table.filter(pa.array(plain(table.column("ts_ns")) <= self._end))
        if name not in SAMPLED or not len(table):
            return table
        ts_ns = plain(table.column("ts_ns"))
        names = table.column(SAMPLED[name]).to_pylist()
        last = {names[row]: row for row in np.flatnonzero(ts_ns <= self._begin).tolist()}
        within = np.flatnonzero((ts_ns > self._begin) & (ts_ns <= self._end)).tolist()
        table = table.take(pa.array([*last.values(), *within], pa.int64()))
        clipped = np.maximum(plain(table.column("ts_ns")), self._begin)
        return table.set_column(0, "ts_ns", pa.array(clipped))
