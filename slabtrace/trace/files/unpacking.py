# SPDX-License-Identifier: Apache-2.0
"""What the batches of an Arrow IPC file will take in memory, known before any of it is taken.

zstd makes 18 kB of 20 million rows of zeros, and pyarrow unpacks whatever a file says it holds.  The lengths
stand in the flatbuffers around a batch, and before each of its compressed buffers; they are read from there.

Source: the Arrow columnar format, "Encapsulated message format" and "IPC file format", with the tables of
Message.fbs and File.fbs; FlatBuffers' own layout ("FlatBuffers Internals").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MOST_BATCH_BYTES = 1 << 28  # of one batch: 131,072 events are 3.5 MB, as many stacks can be 134
MOST_ROWS, MOST_BYTES = 1 << 20, 1 << 28  # of a file, however small it is
ROWS_A_BYTE, BYTES_A_BYTE = 1, 32  # of a larger one: recordings come to 0.4 and 9
MAGIC = b"ARROW1"
_DICTIONARY, _RECORDS = 2, 3  # MessageHeader
_V5 = 4  # MetadataVersion: before it, compression may be said where we do not look
_PREFIX = 8  # of a message: a marker, and the length of its metadata
_BUFFER = np.dtype([("offset", "<i8"), ("length", "<i8")])
_BLOCK = np.dtype([("offset", "<i8"), ("metadata", "<i4"), ("_", "<i4"), ("body", "<i8")])
Blocks = NDArray[np.void]


class ExcessError(ValueError):
    """A file says to hold more than one of its size can."""


@dataclass
class Allowance:
    """What a file of `size` bytes may unpack to: room for any recording, none for a trap."""

    size: int
    rows: int = 0
    bytes: int = 0

    def take(self, message: pa.Message) -> None:
        """Account for a message that is about to be decoded.

        Raises ExcessError; ValueError or struct.error where it is garbage.
        """
        rows, unpacked = _sizes(message)
        self.rows, self.bytes = self.rows + rows, self.bytes + unpacked
        if (
            unpacked > MOST_BATCH_BYTES
            or self.rows > max(MOST_ROWS, ROWS_A_BYTE * self.size)
            or self.bytes > max(MOST_BYTES, BYTES_A_BYTE * self.size)
        ):
            raise ExcessError("it unpacks to more than a recording can")


def blocks(content: pa.Buffer) -> tuple[Blocks, Blocks]:
    """Where the dictionaries and the record batches lie, by the footer of a file.

    Raises ValueError or struct.error where that is garbage.
    """
    view = memoryview(content)
    end = len(view) - len(MAGIC) - 4
    begin = end - int(struct.unpack_from("<i", view, end)[0])
    if not 0 <= begin < end:
        raise ValueError("a footer outside of the file")
    footer = _Table.root(view[begin:end])
    return footer.structs(2, _BLOCK), footer.structs(3, _BLOCK)


def message_at(content: pa.Buffer, block: np.void) -> pa.Message:
    """The message there, not decoded.  Raises ValueError or ArrowException where there is none."""
    if not 0 <= block["offset"] < content.size:
        raise ValueError("a batch outside of the file")
    message = pa.ipc.read_message(content.slice(int(block["offset"])))
    if message.metadata.size + _PREFIX != block["metadata"]:
        raise ValueError("footer and batch disagree")  # and what is unpacked would be something else
    return message


def _sizes(message: pa.Message) -> tuple[int, int]:
    """The rows of a batch or a dictionary, and the bytes that its buffers unpack to; else none."""
    table = _Table.root(memoryview(message.metadata))
    kind = table.number(1, "<B")
    if kind not in (_DICTIONARY, _RECORDS):
        return 0, 0
    if table.number(0, "<h") < _V5:
        raise ValueError("a version of Arrow that recorders never wrote")
    batch = table.table(2).table(1) if kind == _DICTIONARY else table.table(2)
    rows, compressed = batch.number(0, "<q"), batch.has(3)
    if rows < 0:
        raise ValueError("fewer rows than none")
    body = memoryview(message.body)
    return rows, sum(_unpacked(body, compressed, *each) for each in batch.structs(2, _BUFFER).tolist())


def _unpacked(body: memoryview, compressed: bool, offset: int, length: int) -> int:
    """Bytes of one buffer, where it is compressed by the number it begins with; -1: it is stored as it is."""
    if offset < 0 or length < 0:  # which would make room for others
        raise ValueError("a buffer outside of the batch")
    if not compressed or not length:
        return length
    size = int(struct.unpack_from("<q", body, offset)[0])
    if size < -1:
        raise ValueError("a buffer of fewer bytes than none")
    return max(length - 8, 0) if size == -1 else size


class _Table:
    """A table of a flatbuffer, its fields by their numbers; garbage raises ValueError or struct.error."""

    def __init__(self, content: memoryview, at: int) -> None:
        self._content, self._at = content, at
        self._fields = at - self._read("<i", at)
        self._size = self._read("<H", self._fields)

    @classmethod
    def root(cls, content: memoryview) -> _Table:
        return cls(content, struct.unpack_from("<I", content)[0])

    def has(self, field: int) -> bool:
        return self._place(field) is not None

    def number(self, field: int, form: str) -> int:
        """0 where it is not said, as for all numbers here."""
        place = self._place(field)
        return 0 if place is None else self._read(form, place)

    def table(self, field: int) -> _Table:
        return _Table(self._content, self._target(field))

    def structs(self, field: int, kind: np.dtype[np.void]) -> Blocks:
        """A vector, shape (n,); empty where it is not said."""
        if not self.has(field):
            return np.empty(0, kind)
        begin = self._target(field)
        count = self._read("<I", begin)
        return np.frombuffer(self._content, kind, count, begin + 4) if count else np.empty(0, kind)

    def _place(self, field: int) -> int | None:
        slot = 4 + 2 * field
        offset = self._read("<H", self._fields + slot) if slot < self._size else 0
        return self._at + offset if offset else None

    def _target(self, field: int) -> int:
        place = self._place(field)
        if place is None:
            raise ValueError("something of a batch is missing")
        return place + self._read("<I", place)

    def _read(self, form: str, at: int) -> int:
        if at < 0:
            raise ValueError("a place outside of the file")
        return int(struct.unpack_from(form, self._content, at)[0])
