# SPDX-License-Identifier: Apache-2.0
"""How much memory the batches of an Arrow IPC file will take, known before any of it is allocated.

zstd compresses 20 million rows of zeros to 18 kB, and pyarrow unpacks whatever a file says it holds.  So the
lengths are read first: from the flatbuffers around a batch, and from the front of each compressed buffer.
Sources: the Arrow columnar format ("Encapsulated message format", "IPC file format"), Message.fbs and
File.fbs, and "FlatBuffers Internals".

Example: a file of 100,000 bytes; MOST_ROWS is 1,048,576, and a file of any size may have as many.

    message       rows   unpacks to   rows so far   decision
    schema           0            0             0   decoded
    batch 1    131,072    3,670,016       131,072   decoded
    batch 2    131,072    3,670,016       262,144   decoded
    batch 3  2,000,000   56,000,000     2,262,144   ExcessError, before anything is decoded
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MOST_BATCH_BYTES = 1 << 28  # of one batch: 131,072 events take 3.5 MB, as many stacks up to 134 MB
MOST_ROWS, MOST_BYTES = 1 << 20, 1 << 28  # of a small file
ROWS_A_BYTE, BYTES_A_BYTE = 1, 32  # of a larger file, for each of its bytes; recordings have 0.4 and 9
MAGIC = b"ARROW1"
_DICTIONARY, _RECORDS = 2, 3  # MessageHeader
_V5 = 4  # MetadataVersion; before it, the compression was stated in another place
_PREFIX = 8  # bytes of a message before its metadata: a marker, and the length of the metadata
_BUFFER = np.dtype([("offset", "<i8"), ("length", "<i8")])
_BLOCK = np.dtype([("offset", "<i8"), ("metadata", "<i4"), ("_", "<i4"), ("body", "<i8")])
Blocks = NDArray[np.void]


class ExcessError(ValueError):
    """A file claims to hold more than a recording of its size can."""


@dataclass
class Allowance:
    """How much a file of `size` bytes may unpack to: enough for any recording, not for a trap.

    `rows`, `bytes`: of all messages so far.
    """

    size: int
    rows: int = 0
    bytes: int = 0

    def take(self, message: pa.Message) -> None:
        """Account for a message that is about to be decoded.

        Raises ExcessError where it is too much; ValueError or struct.error for garbage.
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
    """Where the dictionaries and the record batches are, by the footer of a file.

    Raises ValueError or struct.error if the footer is garbage.
    """
    view = memoryview(content)
    end = len(view) - len(MAGIC) - 4
    begin = end - int(struct.unpack_from("<i", view, end)[0])
    if not 0 <= begin < end:
        raise ValueError("a footer outside of the file")
    footer = _Table.root(view[begin:end])
    return footer.structs(2, _BLOCK), footer.structs(3, _BLOCK)


def message_at(content: pa.Buffer, block: np.void) -> pa.Message:
    """The message at `block`, not decoded.  Raises ValueError or ArrowException if there is none."""
    if not 0 <= block["offset"] < content.size:
        raise ValueError("a batch outside of the file")
    message = pa.ipc.read_message(content.slice(int(block["offset"])))
    if message.metadata.size + _PREFIX != block["metadata"]:
        raise ValueError("footer and batch disagree")  # pyarrow would decode another message
    return message


def _sizes(message: pa.Message) -> tuple[int, int]:
    """The rows of a batch or a dictionary, and the bytes that its buffers unpack to; (0, 0) of others."""
    table = _Table.root(memoryview(message.metadata))
    kind = table.number(1, "<B")
    if kind not in (_DICTIONARY, _RECORDS):
        return 0, 0
    if table.number(0, "<h") < _V5:
        raise ValueError("a version of Arrow that no recorder wrote")
    batch = table.table(2).table(1) if kind == _DICTIONARY else table.table(2)
    rows, compressed = batch.number(0, "<q"), batch.has(3)
    if rows < 0:
        raise ValueError("a negative number of rows")
    body = memoryview(message.body)
    return rows, sum(_unpacked(body, compressed, *each) for each in batch.structs(2, _BUFFER).tolist())


def _unpacked(body: memoryview, compressed: bool, offset: int, length: int) -> int:
    """Bytes of one buffer unpacked.  A compressed one begins with that number; -1 means: not compressed."""
    if offset < 0 or length < 0:  # a negative length would be subtracted from the sum
        raise ValueError("a buffer outside of the batch")
    if not compressed or not length:
        return length
    size = int(struct.unpack_from("<q", body, offset)[0])
    if size < -1:
        raise ValueError("a buffer of negative size")
    return max(length - 8, 0) if size == -1 else size


class _Table:
    """A table of a flatbuffer; its fields have numbers.  Garbage raises ValueError or struct.error.

    The table begins with the distance back to its list of fields.  That list has its own size, the table's
    size, and for each field its offset in the table (two bytes each; 0: the field is not there):

        list of fields     size | table size | offset of field 0 | offset of field 1 | ...
        table              distance to the list | fields, at their offsets
    """

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
        """The number in a field; 0, the default of all numbers here, if the field is not there."""
        place = self._place(field)
        return 0 if place is None else self._read(form, place)

    def table(self, field: int) -> _Table:
        return _Table(self._content, self._target(field))

    def structs(self, field: int, kind: np.dtype[np.void]) -> Blocks:
        """The vector of structs in a field, shape (n,); empty if the field is not there."""
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
            raise ValueError("a field of a batch is missing")
        return place + self._read("<I", place)

    def _read(self, form: str, at: int) -> int:
        if at < 0:
            raise ValueError("an offset outside of the file")
        return int(struct.unpack_from(form, self._content, at)[0])
