# SPDX-License-Identifier: Apache-2.0
"""Writing a trace, so that all that was flushed survives whatever happens to the recorder.

Every table is an Arrow IPC file that only grows: a flush appends one whole record batch with a single write.
A killed recorder leaves files without a footer, which are read as streams up to their last whole batch.  Rows
that events refer to (sites, stacks, caches) are flushed before the events.  Only manifest.json is replaced,
atomically.  Files and columns: format/schema.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from slabtrace.errors import CANNOT_TRACE, SlabtraceError
from slabtrace.trace.files.place import Place, make_place
from slabtrace.trace.format import schema
from slabtrace.trace.format.arrays import column
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.event_columns import stored
from slabtrace.trace.manifest import Manifest

SIDE_ROWS = 8192  # of a copied batch, which readers decode whole
RESERVE = 64 << 10  # bytes kept for the last manifest, which says why a recording on a full disk ended
SEGMENT_EVENTS = 16_000_000  # events per file of events/: some 60 MB
# An event of a pipe load takes 3.06 bytes and 65 ns at level -1, 2.98 bytes and 87 ns at level 1, 6.8 bytes
# and 48 ns with lz4.  Higher levels take several times as long, and save a tenth of the size.
_CODEC = pa.Codec("zstd", -1)


class WriteError(SlabtraceError):
    """The trace cannot be written any further (disk full, folder deleted); what was flushed is safe."""

    exit_code = CANNOT_TRACE


class TableWriter:
    """One Arrow IPC file that grows by whole record batches."""

    def __init__(self, place: Place, name: str, table_schema: pa.Schema) -> None:
        self._path = place.path / name
        self.schema = table_schema
        self._file = os.fdopen(place.create(name), "wb", buffering=0)
        self._buffer = _Gather()
        # use_threads=False: compression takes one CPU only, and its cost shows
        options = pa.ipc.IpcWriteOptions(compression=_CODEC, use_threads=False)
        self._writer = pa.ipc.new_file(self._buffer, table_schema, options=options)
        self.rows = 0
        # pyarrow writes the schema with the first batch; so a file that is empty later is damaged
        self._writer.write_batch(record_batch([[]] * len(table_schema), table_schema))
        self._flush()

    def append(self, batch: pa.RecordBatch) -> None:
        """Append and flush one batch.  Raises WriteError; the file then ends with the last whole batch."""
        self._writer.write_batch(batch)
        self._flush()
        self.rows += batch.num_rows

    def close(self, footer: bool = True) -> None:
        """Close the file; without `footer` it looks like that of a killed writer.  Raises WriteError."""
        if not self._file.closed:
            try:
                if footer:
                    self._writer.close()
                    self._flush()
            finally:
                self._file.close()

    @property
    def bytes(self) -> int:
        """Size of the file so far."""
        return self._buffer.tell()

    def _flush(self) -> None:
        content = self._buffer.drain()
        start = self._file.tell()
        try:
            written = 0
            while written < len(content):
                written += self._file.write(content[written:])
        except OSError as error:
            self._file.truncate(start)  # leave no torn batch
            raise _write_failed(self._path, error) from error


def record_batch(columns: Iterable[Any], fields: pa.Schema) -> pa.RecordBatch:
    """Columns, in the order of `fields`, as a batch."""
    made = [column(values, field.type) for values, field in zip(columns, fields, strict=True)]
    return pa.RecordBatch.from_arrays(made, schema=fields)


class _Gather:
    """A file object that collects what pyarrow writes until it is drained."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._parts.append(content)
        self._position += len(content)
        return len(content)

    def drain(self) -> bytes:
        content = b"".join(self._parts)
        self._parts.clear()
        return content

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class TraceWriter:
    """A trace being written, in the NAME.slab folder `place`; a path is made a folder first.

    Raises UsageError if the folder exists or cannot be made, WriteError.
    """

    def __init__(self, place: Place | Path, manifest: Manifest) -> None:
        self._place = make_place(place) if isinstance(place, Path) else place
        self.manifest = manifest
        self.save_manifest()
        self._reserve = self._place.reserve(RESERVE)
        self._tables = {name: self._table(f"{name}.arrow", s) for name, s in schema.SIDE_TABLES.items()}
        self._segment: TableWriter | None = None
        self._segments = 0
        self._closed_bytes = 0

    @property
    def folder(self) -> Path:
        """The path of the folder."""
        return self._place.path

    def events(self, batch: EventBatch) -> None:
        """Append and flush a batch; it begins a new segment if the last one is full.  Raises WriteError."""
        segment = self._segment
        if segment is None or segment.rows >= SEGMENT_EVENTS:
            segment = self._next_segment()
        segment.append(stored(batch))

    def rows(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to a side table, given as columns: sequences or arrays of one length.

        It does nothing without rows.  Raises WriteError.
        """
        writer = self._tables[table]
        batch = record_batch([columns[field.name] for field in writer.schema], writer.schema)
        if batch.num_rows:
            writer.append(batch)

    def copy(self, name: str, rows: pa.Table) -> None:
        """Append rows of another trace to a side table.  Raises WriteError."""
        for batch in rows.combine_chunks().to_batches(max_chunksize=SIDE_ROWS):
            self._tables[name].append(batch)

    def save_manifest(self) -> None:
        """Replace manifest.json.  Raises WriteError."""
        try:
            self.manifest.save(self._place)
        except OSError as error:
            raise _write_failed(self.folder / schema.MANIFEST, error) from error

    @property
    def bytes(self) -> int:
        """Bytes of all files so far, without the manifest."""
        open_segment = self._segment.bytes if self._segment else 0
        return self._closed_bytes + open_segment + sum(table.bytes for table in self._tables.values())

    @property
    def segments(self) -> int:
        """Number of segments begun."""
        return self._segments

    def close(self, status: str) -> None:
        """Write all footers that can be written, then the manifest with its final status."""
        first: WriteError | None = None
        for close in self._closers():
            try:
                close()
            except WriteError as error:
                first = first or error
        self.manifest.status = status if first is None else f"failed: {first.message}"
        self._release_reserve()  # after the footers, which may have taken the last block
        self.save_manifest()
        if first is not None:
            raise first

    def _release_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):  # it could not be made
            self._release_reserve()

    def _closers(self) -> list[Callable[[], None]]:
        open_files = [*self._tables.values(), *([self._segment] if self._segment else [])]
        return [table.close for table in open_files]

    def _next_segment(self) -> TableWriter:
        if self._segment is not None:
            self._segment.close()
            self._closed_bytes += self._segment.bytes
        self._segment = self._table(f"{schema.EVENTS_DIR}/{self._segments:05d}.arrow", schema.EVENTS)
        self._segments += 1
        return self._segment

    def _table(self, name: str, table_schema: pa.Schema) -> TableWriter:
        try:
            return TableWriter(self._place, name, table_schema)
        except OSError as error:
            raise _write_failed(self.folder / name, error) from error


def _write_failed(path: Path, error: OSError) -> WriteError:
    reason = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
    return WriteError(
        f"{path} cannot be written: {reason}", "What was recorded until then is kept and readable."
    )
