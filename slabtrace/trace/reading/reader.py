# SPDX-License-Identifier: Apache-2.0
"""Reading a trace, in a folder or packed: the manifest, the ordered events, the side tables.

Only a few record batches are in memory at a time.  Damage never stops reading: all that is whole is read, and
`TraceReader.damage` says what is not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.trace import manifest as manifests
from slabtrace.trace.files.files import files_of
from slabtrace.trace.files.segments import Segment
from slabtrace.trace.format import schema
from slabtrace.trace.format.arrays import no_rows, plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.event_columns import loaded, times
from slabtrace.trace.format.sample import in_sample
from slabtrace.trace.reading.ahead import ahead

AHEAD = 3  # batches decoded before they are asked for
TOGETHER = 1024  # batches of a side table


class TraceReader:
    """A recorded trace, opened.

    `path`: a NAME.slab folder, or a packed trace.  Raises TraceError if it is neither, or if its manifest is
    missing, damaged or of a newer MAJOR version.  `damage`: sentences; it grows while files are read, and
    stays empty for a whole trace.  `only_cut`: there is no damage but that the recording was not finished, so
    the trace is whole up to some moment.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._files = files_of(self.path)
        self._names = self._files.names()
        self.manifest = manifests.read(self._files, self.path)
        self._events_schema = schema.events_of(self.manifest.version[0])
        self.damage: list[str] = []
        self.only_cut = True
        self.segments = self._find_segments()
        self._carried = self._find_carried()
        if self.manifest.status != manifests.COMPLETE:
            self._note(f'The recording was not finished: its status is "{self.manifest.status}".', cut=True)

    def events(self) -> Iterator[EventBatch]:
        """Yield the events in batches, ordered by ts_ns, decompressed ahead in a thread.

        Events of a site that is not in sites.arrow (which is cut then) are left out and noted as damage.
        Raises TraceError if a segment's columns are not those of its version.
        """
        known = len(self.sites)
        unknown = 0
        for record in ahead(self._record_batches(), AHEAD, "slabtrace-read"):
            batch = loaded(record).ordered()
            if batch.size and batch.site.max() >= known:
                unknown += int((batch.site >= known).sum())
                batch = batch.take(batch.site < known)
            yield self._thinned(batch) if self.manifest.thinned else batch
        if unknown:
            self._note(f"{unknown} events are left out: their site is not in sites.arrow.")

    def _thinned(self, batch: EventBatch) -> EventBatch:
        """Only the addresses that were recorded to the end, and all ends of slabs."""
        kept = in_sample(batch.ptr, self.manifest.sampled_one_in)
        return batch.take(kept | self._is_page_end[batch.site])

    @cached_property
    def _is_page_end(self) -> NDArray[np.bool_]:
        is_end: NDArray[np.bool_] = plain(self.sites.column("kind")) == schema.Kind.PAGE_END
        return is_end

    @cached_property
    def sites(self) -> pa.Table:
        """sites.arrow, its column `site` counting up from 0; rows after a gap are left out."""
        table = self.table("sites")
        counting = plain(table.column("site")) == np.arange(len(table))
        rows = len(table) if counting.all() else int(np.argmin(counting))
        if rows < len(table):
            self._note(f"sites.arrow has a gap after {rows} rows.")
        return table.slice(0, rows)

    def _record_batches(self) -> Iterator[pa.RecordBatch]:
        for name in [*self._carried[:1], *self._segments_read()]:
            segment = Segment(self._files, name, self._events_schema)
            yield from segment.batches(self._events_schema.names)
            self._note(segment.damage, segment.cut)

    def _segments_read(self) -> list[str]:
        """The segments that `events` reads, in order."""
        return self.segments

    def table(self, name: str) -> pa.Table:
        """The side table `name` (a key of schema.SIDE_TABLES); empty if its file is missing.

        A missing file is damage, unless the trace's version is older than the table.
        """
        wanted = schema.SIDE_TABLES[name]
        file = f"{name}.arrow"
        if file not in self._names:
            known = tuple(self.manifest.version) >= schema.SINCE.get(name, ())
            if known and self.manifest.status == manifests.COMPLETE:
                self._note(f"{file} is missing.")
            return no_rows(wanted)
        own = self._whole(file, wanted)
        return pa.concat_tables([self.carried(name), own]) if name in schema.CARRIED else own

    def carried(self, name: str) -> pa.Table:
        """A table from earlier parts of the series (a key of schema.CARRIED); empty if there is none."""
        wanted, file = schema.CARRIED[name], _carried(name)
        return self._whole(file, wanted) if file in self._carried else no_rows(wanted)

    @cached_property
    def since_ns(self) -> int:
        """From when on nothing is missing: the start, or of a part with what earlier ones left, theirs."""
        begin, part = self.manifest.started_ns, self.manifest.part
        if part is None or not self._carried:
            return begin
        rows: list[int] = plain(self.carried("since").column("begin_ns")).tolist()
        return min(max([part.series_started_ns, *rows]), begin)

    def _whole(self, file: str, wanted: pa.Schema) -> pa.Table:
        """All rows of a file.

        A day has 86,400 batches, each with more overhead than rows, so TOGETHER of them are merged at a time.
        """
        table = Segment(self._files, file, wanted, threads=False)
        parts, batches = [no_rows(wanted)], table.batches(wanted.names)
        while some := list(islice(batches, TOGETHER)):
            parts.append(pa.Table.from_batches(some).cast(wanted).combine_chunks())
        self._note(table.damage, table.cut)
        return pa.concat_tables(parts)

    def span(self) -> tuple[int, int]:
        """Start and end of the recording, CLOCK_MONOTONIC ns.

        They are in the manifest; if it lacks the end (a killed recorder), it is the time of the last event.
        """
        begin = self.manifest.started_ns
        if self.manifest.ended_ns is not None:
            return begin, max(begin, self.manifest.ended_ns)
        for name in reversed(self.segments):
            fields = [field for field in self._events_schema.names if field.startswith("ts_")]
            batches = Segment(self._files, name, self._events_schema).batches(fields)
            last = [int(times(batch).max()) for batch in batches if batch.num_rows]
            if last:
                return begin, max(begin, max(last))
        return begin, begin

    def _find_segments(self) -> list[str]:
        """Names of the segments, in the order of their numbers; a gap in the numbers is damage."""
        found = {int(Path(n).stem): n for n in self._names if n.startswith(f"{schema.EVENTS_DIR}/")}
        expected = max([*found, self.manifest.totals.segments - 1], default=-1) + 1
        missing = expected - len(found)
        if missing:
            self._note(f"{missing} of {expected} event segments are missing.")
        return [found[number] for number in sorted(found)]

    def _find_carried(self) -> list[str]:
        """The files from earlier parts of the series, the events first; it is damage if they are missing."""
        part = self.manifest.part
        if part is None or part.number == 1:
            return []
        version, since = tuple(self.manifest.version), schema.CARRIED_SINCE
        wanted = {_carried(name) for name in schema.CARRIED if version >= since.get(name, ())}
        if not wanted <= set(self._names):
            self._note("The objects from earlier parts of the series are missing.", cut=True)
            return []
        return [file for file in map(_carried, schema.CARRIED) if file in self._names]

    @property
    def series_is_cut(self) -> bool:
        """Whether what the first parts of the series left is missing: one of them could not be carried."""
        part = self.manifest.part
        return part is not None and part.number > 1 and self.since_ns > part.series_started_ns

    @property
    def counts_earlier(self) -> bool:
        """Whether it has what earlier parts of the series counted: not before version 2.1."""
        return _carried("older") in self._carried

    def _note(self, sentence: str, cut: bool = False) -> None:
        if sentence and sentence not in self.damage:
            self.damage.append(sentence)
            self.only_cut &= cut


def _carried(name: str) -> str:
    return f"{schema.CARRIED_DIR}/{name}.arrow"
