# SPDX-License-Identifier: Apache-2.0
"""Series: writes a long recording as one trace after the other, NAME.0001.slab, NAME.0002.slab, …

Each part is a whole trace that can be read without the others.  What the parts before it left outstanding
is carried into it (its folder carried/), so `leaks` of the newest part covers the time since the series
began.  A part ends at a sample of slabinfo, so that the kernel's own count begins and ends with it.  Side
tables begin with what was last known.  Carrying reads the part that ended once more, in a process of its
own, while the next one is recorded; no part is deleted before it is carried.

Example: --rotate 4s.

    what the recorder hands over            part 1                       part 2
    sample of slabinfo at 4.0 s             4 s are over: the boundary
    events up to 4.2 s: alloc A at 3.9 s    stored
                        alloc B at 4.1 s    closed                       begun with sites, caches, …; B stored
    (meanwhile, in another process)         read once more               carried/: A, outstanding at 4.0 s
    free A at 5.0 s                                                      stored; pairs with the carried A
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slabtrace.errors import TraceError, UsageError
from slabtrace.series.carry_process import carry_in_process
from slabtrace.series.last_known import LastKnown
from slabtrace.series.living import Living
from slabtrace.series.parts import Rotation, make_series, part_path
from slabtrace.trace.files.place import Place, remove_trace
from slabtrace.trace.format import schema
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import COMPLETE, Helper, Manifest, Part, Totals
from slabtrace.trace.writing.writer import TraceWriter

Carry = Callable[[Path, Path], None]  # from a part that has ended into the one that follows
COPIED = ("sites", "caches", "stacks", "symbols", "modules")  # rows that later events may refer to


class Series:
    """A sink (trace/writing/sink.py) that writes one part after the other.

    `name`: of the series.  `manifest`: of the whole recording; each part gets its own, made of it.
    `first`: the folder of the first part, where it is made already.  `carry`: as carry.carry;
    by default in a process of its own.  Raises as TraceWriter.
    """

    def __init__(
        self,
        name: Path,
        manifest: Manifest,
        rotation: Rotation,
        first: Place | None = None,
        carry: Carry | None = None,
    ) -> None:
        self.manifest = manifest
        self._name, self._rotation, self._carry = name, rotation, carry or self._carry_in_process
        self._number, self._oldest = 1, 1
        self._boundary_ns: int | None = None  # where the part is to end
        self._is_last = False
        self._began_ns = manifest.started_ns
        self._before = Totals()  # of the parts that have ended
        self._mine = Totals()  # events, allocs and frees of this one
        self._change: np.ndarray[Any, np.dtype[np.int8]] = np.zeros(0, np.int8)
        self._last, self._living = LastKnown(), Living()
        self._closed_bytes = self._closed_segments = 0
        self._carrying: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(1, "slabtrace-carry")
        self._part = TraceWriter(first or make_series(name), self._of_part())

    @property
    def folder(self) -> Path:
        """The folder of the newest part."""
        return part_path(self._name, self._number)

    @property
    def bytes(self) -> int:
        """Written so far, deleted parts included."""
        return self._closed_bytes + self._part.bytes

    @property
    def segments(self) -> int:
        """Files of events begun so far, in all parts."""
        return self._closed_segments + self._part.segments

    def rows(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to a side table of the part.  Raises WriteError."""
        self._part.rows(table, columns)
        self._last.take(table, columns, self._boundary_ns)
        self._living.take(table, columns, self._boundary_ns)
        if table == "sites":
            kind = np.asarray(columns["kind"])
            change = np.where(kind & schema.FREE_BIT, -1, 1) * (kind != schema.Kind.PAGE_END)
            self._change = np.append(self._change, change.astype(np.int8))
        if table == "slabs":  # asked at the end of the recording: this part is the last
            self._is_last, self._boundary_ns = True, None
        if table == "slabinfo" and self._boundary_ns is None and len(columns["ts_ns"]):
            self._boundary_ns = self._due(int(columns["ts_ns"][0]))

    def events(self, batch: EventBatch) -> None:
        """Append events; those from the boundary on go into the next part.  Raises WriteError."""
        boundary_ns = self._boundary_ns
        if boundary_ns is None or not (later := batch.ts_ns >= boundary_ns).any():
            return self._append(batch)
        self._append(batch.take(~later))
        self._begin_next_part(boundary_ns)
        return self._append(batch.take(later))

    def save_manifest(self) -> None:
        """Replace the part's manifest.  Raises WriteError."""
        if self._number == 1:
            self._began_ns = self.manifest.started_ns  # known once all is attached
        self._part.manifest = self._manifest_now()
        self._part.save_manifest()

    def close(self, status: str) -> None:
        """Close the part, and wait until what was to be carried is.  Raises WriteError."""
        self._part.manifest = replace(self._manifest_now(), ended_ns=self.manifest.ended_ns)
        try:
            self._part.close(status)
        finally:
            self.manifest.status = self._part.manifest.status
            self._thread.shutdown()
        self._check_carrying()

    def _append(self, batch: EventBatch) -> None:
        if not batch.size:
            return
        self._part.events(batch)
        change = self._change[batch.site]
        self._mine.events += batch.size
        self._mine.allocs += int(np.count_nonzero(change > 0))
        self._mine.frees += int(np.count_nonzero(change < 0))

    def _due(self, now_ns: int) -> int | None:
        """`now_ns` if the part should end now."""
        wanted = self._rotation
        full = wanted.bytes is not None and self._part.bytes >= wanted.bytes
        old = wanted.ns is not None and now_ns - self._began_ns >= wanted.ns
        return now_ns if (full or old) and not self._is_last else None

    def _begin_next_part(self, boundary_ns: int) -> None:
        """End the part at `boundary_ns` and begin the next."""
        self._check_carrying()
        old = self._part
        for table, columns in self._last.at_end(boundary_ns):
            old.rows(table, columns)
        old.manifest = replace(self._manifest_now(), ended_ns=boundary_ns)
        old.close(COMPLETE)
        self._closed_bytes += old.bytes
        self._closed_segments += old.segments
        self._before, self._mine = replace(self.manifest.totals), Totals()
        self._began_ns, self._boundary_ns, self._number = boundary_ns, None, self._number + 1
        self._part = TraceWriter(self.folder, self._of_part())
        for name in COPIED:
            self._part.copy(name, _all_rows(old.folder, name))
        for table, columns in (*self._last.at_begin(boundary_ns), *self._living.at_begin()):
            self._part.rows(table, columns)
        self._carrying.append(self._thread.submit(self._carry_over, old.folder, self.folder, self._number))

    def _carry_over(self, ended: Path, following: Path, number: int) -> None:
        """Carry, then delete what is no longer asked for.  In a thread of its own."""
        with suppress(TraceError):  # somebody deleted it, or no process was to be had
            self._carry(ended, following)
        while self._rotation.keep is not None and self._oldest <= number - self._rotation.keep:
            with suppress(UsageError):  # somebody put it away, or holds on to it: theirs from now on
                remove_trace(part_path(self._name, self._oldest))
            self._oldest += 1

    def _carry_in_process(self, ended: Path, following: Path) -> None:
        """Carry in a process, which the manifest names: what it allocates is slabtrace's own."""
        helper = Helper(started_ns=time.monotonic_ns())

        def started(pid: int) -> None:
            helper.pid = pid
            self.manifest.recorder.helpers.append(helper)

        try:
            carry_in_process(ended, following, started)
        finally:
            helper.ended_ns = time.monotonic_ns()

    def _check_carrying(self) -> None:
        """Raise what went wrong while carrying."""
        for done in [each for each in self._carrying if each.done()]:
            self._carrying.remove(done)
            done.result()

    def _manifest_now(self) -> Manifest:
        """The manifest of the part as it stands."""
        manifest = self._of_part()
        disk, segments = self._part.bytes, self._part.segments
        return replace(manifest, totals=replace(manifest.totals, bytes_on_disk=disk, segments=segments))

    def _of_part(self) -> Manifest:
        """The manifest of the part, its files not looked at."""
        whole, mine = self.manifest, self._mine
        counters = {k: v for k, v in vars(whole.totals).items() if k != "left_out"}
        grown = {k: max(v - getattr(self._before, k), 0) for k, v in counters.items()}
        before = self._before.left_out
        left_out = {k: max(v - before.get(k, 0), 0) for k, v in whole.totals.left_out.items()}
        own = {"events": mine.events, "allocs": mine.allocs, "frees": mine.frees}
        own["allocs"], own["frees"] = (own[name] + grown["counted"] for name in ("allocs", "frees"))
        return replace(
            whole,
            started_ns=self._began_ns,
            started_at=_later(whole.started_at, self._began_ns - whole.started_ns),
            totals=Totals(**{**grown, **own, "modules": whole.totals.modules}, left_out=left_out),
            part=Part(self._number, whole.started_ns),
        )


def _later(iso: str, ns: int) -> str:
    if not iso or not ns:
        return iso
    return (datetime.fromisoformat(iso) + timedelta(microseconds=ns // 1000)).isoformat(
        timespec="milliseconds"
    )


def _all_rows(folder: Path, table: str) -> pa.Table:
    from slabtrace.trace.reading.reader import TraceReader

    return TraceReader(folder).table(table)
