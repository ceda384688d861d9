# SPDX-License-Identifier: Apache-2.0
"""One Arrow IPC file, whole or cut short: a segment of events or a side table.

A file that was closed ends with a footer, and is read by it.  A file that was not closed (the recorder was
killed, the disk was full) is a valid stream after its 8-byte magic, up to its last whole record batch.  All
of that is read, and `damage` says what is missing.
Files are mapped into memory.  A batch is in memory only while its reader holds it, and none is decoded that
claims to be larger than a recording's (unpacking.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import pyarrow as pa

from slabtrace.errors import TraceError
from slabtrace.trace.files.files import Files
from slabtrace.trace.files.unpacking import MAGIC, Allowance, ExcessError, blocks, message_at

EXCESS = "unpacks to more than a recording can: it is damaged, or a trap; read up to there"
HEADER = 8  # the magic, padded, before the stream begins
BROKEN = (  # what pyarrow and unpacking raise on garbage
    *(pa.ArrowException, OSError, ValueError, KeyError, TypeError),
    *(MemoryError, EOFError, struct.error),
)


class Segment:
    """The record batches of one Arrow IPC file.

    `damage`: a sentence on what could not be read, empty if nothing is known to be wrong.  `cut`: whether
    only the footer is missing, because the recorder was killed.  `threads`: whether columns are decompressed
    in parallel; for small batches that costs more than it saves.
    Raises TraceError if a column that is read has another type than in `expected`.
    """

    def __init__(self, files: Files, name: str, expected: pa.Schema, threads: bool = True) -> None:
        self.name = name
        self.damage = ""
        self.cut = False
        self._files = files
        self._expected = expected
        self._threads = threads

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the batches in order, with only `columns`, in the order given."""
        self.damage, self.cut = "", False
        try:
            file = self._files.open(self.name)
        except BROKEN as error:
            self._note(f"cannot be opened ({_first_line(error)})")
            return
        with file:
            found = self._whole(file, columns) if self._has_footer(file) else self._cut(file, columns)
            yield from (batch for batch in found if batch.num_rows)  # the first is empty: it has the schema

    def _has_footer(self, file: pa.NativeFile) -> bool:
        size = file.size()
        if size < HEADER + len(MAGIC):
            return False
        file.seek(size - len(MAGIC))
        return bool(file.read(len(MAGIC)) == MAGIC)

    def _whole(self, file: pa.NativeFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches by the footer; a damaged one is skipped, and the others are read."""
        content, allowance = _content(file), Allowance(file.size())
        try:
            options = self._projection(pa.ipc.open_file(file).schema, columns)
            reader = pa.ipc.open_file(file, options=options)
            dictionaries, records = blocks(content)
            for block in dictionaries:
                allowance.take(message_at(content, block))
        except BROKEN:
            yield from self._cut(file, columns)
            return
        lost = 0
        for index, block in enumerate(records):
            try:
                allowance.take(message_at(content, block))
                batch = _checked(reader.get_batch(index))
            except ExcessError:
                self._note(EXCESS)
                return
            except BROKEN:
                lost += 1
                continue
            yield batch.select(columns)
        if lost:
            self._note(f"{lost} of {len(records)} batches cannot be decoded")

    def _cut(self, file: pa.NativeFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches as a stream, up to the first one that is not whole."""
        content, allowance = _content(file), Allowance(file.size())
        read = 0
        try:
            stream = content.slice(HEADER)
            options = self._projection(pa.ipc.open_stream(stream).schema, columns)
            reader = pa.ipc.open_stream(stream, options=options)
            for message in pa.ipc.MessageReader.open_stream(stream):
                allowance.take(message)
                if message.type == "record batch":  # the reader reads the dictionaries it needs by itself
                    yield _checked(reader.read_next_batch()).select(columns)
                    read += 1
            self.cut = True
        except ExcessError:
            self._note(EXCESS)
            return
        except BROKEN:
            pass
        self._note(f"was not closed: read up to its last whole batch ({read} of them)")

    def _projection(self, schema: pa.Schema, columns: Sequence[str]) -> pa.ipc.IpcReadOptions:
        """Options that decode `columns` only; TraceError if `schema` lacks one or its type differs."""
        for name in columns:
            found = schema.field(name).type if name in schema.names else None
            plain = found.value_type if found is not None and _coded(found) else found
            wanted = self._expected.field(name).type
            if plain != wanted:
                raise TraceError(f"{self.name}: column {name} is {found or 'missing'}, not {wanted}")
        fields = [schema.get_field_index(name) for name in columns]
        return pa.ipc.IpcReadOptions(included_fields=fields, use_threads=self._threads)

    def _note(self, what: str) -> None:
        self.damage = f"{self.name} {what}."


def _coded(kind: pa.DataType) -> bool:
    """Whether a column is dictionary-encoded numbers; texts are refused, as one may repeat endlessly."""
    return isinstance(kind, pa.DictionaryType) and pa.types.is_primitive(kind.value_type)


def _content(file: pa.NativeFile) -> pa.Buffer:
    file.seek(0)
    return file.read_buffer()


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch`, after a check of its buffers, offsets and codes.  Raises ValueError, also for nulls."""
    batch.validate(full=True)
    within = [column.values for column in batch.columns if pa.types.is_list(column.type)]
    if any(column.null_count for column in (*batch.columns, *within)):
        raise ValueError("nulls where the format has none")
    return batch


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
