# SPDX-License-Identifier: Apache-2.0
"""Damages the values of a table: absurd ids, other types, repeated rows, in a valid Arrow file.

A compressed column with changed bytes can rarely be unpacked.  Therefore the file is read, changed as a
table, and written again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from random import Random
from typing import Any

import pyarrow as pa

INTEGERS = (
    0,
    1,
    2,
    3,
    127,
    255,
    65_535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**48,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -1,
    -(2**63),
)
TEXTS = (
    "",
    "\x1b[31m\x07",
    "<script>alert(1)</script>",
    "a" * 100_000,
    "\n\r\t\0",
    "\u202e\U0010ffff",
    "../../etc",
    "=1+1",
)
TYPES = (
    *(pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.float64(), pa.float16(), pa.bool_(), pa.null()),
    *(pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary(8)),
    *(pa.list_(pa.uint64()), pa.large_list(pa.uint64()), pa.list_(pa.list_(pa.string()))),
    *(pa.dictionary(pa.int8(), pa.uint64()), pa.dictionary(pa.int32(), pa.string())),
    *(pa.timestamp("ns"), pa.decimal128(38), pa.struct([("a", pa.int64())])),
    *(pa.map_(pa.string(), pa.int64()), pa.run_end_encoded(pa.int32(), pa.uint64())),
)  # fmt: skip
MOST_ROWS, MOST_BYTES = 20_000, 64 << 20  # of a written table


def damage_table(random: Random, content: bytearray) -> None:
    """Change an Arrow file as a table, one to five times; a file that cannot be read stays unchanged."""
    try:
        table = pa.ipc.open_file(BytesIO(bytes(content))).read_all()
    except (pa.ArrowException, OSError):
        return
    for _ in range(random.choice((1, 1, 2, 5))):
        with suppress(pa.ArrowException, ValueError, TypeError):  # impossible after earlier changes
            table = random.choice(CHANGES)(random, table)
            table = table.slice(0, table.num_rows * MOST_BYTES // max(MOST_BYTES, table.nbytes))
    with suppress(MemoryError, ValueError):  # a table larger than a batch can be: unchanged
        content[:] = _written(random, table)


def _written(random: Random, table: pa.Table) -> bytes:
    options = pa.ipc.IpcWriteOptions(compression=random.choice((None, "zstd", "lz4")))
    rows = random.choice((None, 1, 7, 100_000)) if table.num_rows < 2000 else None
    with BytesIO() as file:
        with pa.ipc.new_file(file, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=rows)
        return file.getvalue()


def cells(random: Random, table: pa.Table) -> pa.Table:
    """Give some cells an absurd value, or the value of another row."""
    at = random.randrange(table.num_columns)
    values = table.column(at).to_pylist()
    for _ in range(random.choice((1, 1, 5, len(values)))):
        if values:
            values[random.randrange(len(values))] = _absurd(random, table.schema.field(at).type, values)
    return _with(table, at, pa.array(values, table.schema.field(at).type))


def _absurd(random: Random, kind: pa.DataType, values: list[Any]) -> Any:
    if random.random() < 0.2:
        return random.choice((None, random.choice(values)))
    if pa.types.is_list(kind):
        length = random.choice((0, 1, 127, 128, 5_000) if pa.types.is_integer(kind.value_type) else (0, 1, 3))
        return [_absurd(random, kind.value_type, values[:1]) for _ in range(length)] if values else []
    if pa.types.is_boolean(kind):
        return random.random() < 0.5
    if pa.types.is_binary(kind):
        return random.randbytes(random.choice((0, 1, 8, 64, 9_000)))
    if pa.types.is_integer(kind):
        return _fitting(random.choice(INTEGERS), kind)
    return random.choice(TEXTS) if pa.types.is_string(kind) else None


def _fitting(number: int, kind: pa.DataType) -> int:
    """The number truncated to the bits of the type: in uint32, -1 becomes the largest and 2^32 zero."""
    number &= (1 << kind.bit_width) - 1
    signed = pa.types.is_signed_integer(kind) and number >> (kind.bit_width - 1)
    return number - (1 << kind.bit_width) if signed else number


def same(random: Random, table: pa.Table) -> pa.Table:
    """Give all rows the same value in one column."""
    at = random.randrange(table.num_columns)
    kind = table.schema.field(at).type
    value = _absurd(random, kind, table.column(at).to_pylist() or [None])
    return _with(table, at, pa.array([value] * table.num_rows, kind))


def swapped(random: Random, table: pa.Table) -> pa.Table:
    """Give one column the values of another, cast to its type."""
    one, other = random.randrange(table.num_columns), random.randrange(table.num_columns)
    return _with(table, one, table.column(other).cast(table.schema.field(one).type, safe=False))


def retyped(random: Random, table: pa.Table) -> pa.Table:
    """Give a column another type: cast if possible, else all nulls."""
    at, kind = random.randrange(table.num_columns), random.choice(TYPES)
    try:
        column = table.column(at).cast(kind, safe=False)
    except pa.ArrowException:
        column = (
            pa.nulls(table.num_rows, pa.null())
            if kind == pa.null()
            else pa.array([None] * table.num_rows, kind)
        )
    return table.set_column(at, table.schema.field(at).name, column)


def not_utf8(random: Random, table: pa.Table) -> pa.Table:
    """Make the texts of a column invalid UTF-8."""
    texts = [n for n in range(table.num_columns) if pa.types.is_string(table.schema.field(n).type)]
    if not texts:
        return table
    bad = pa.array([random.randbytes(8) + b"\xff"] * table.num_rows, pa.binary())
    return _with(table, random.choice(texts), bad.view(pa.string()))


def column_names(random: Random, table: pa.Table) -> pa.Table:
    """Remove, duplicate or rename a column, or change the order of all."""
    at, names = random.randrange(table.num_columns), list(table.column_names)
    how = random.randrange(4)
    if how == 0:
        return table.remove_column(at)
    if how == 1:
        return table.append_column(names[at], table.column(random.randrange(len(names))))
    if how == 2:
        names[at] = random.choice((*names, "", "\x1b[31m"))
        return table.rename_columns(names)
    order = list(range(len(names)))
    random.shuffle(order)
    return table.select(order)


def rows(random: Random, table: pa.Table) -> pa.Table:
    """Repeat, reorder or remove rows."""
    count = table.num_rows
    if not count:
        return table
    how = random.randrange(4)
    if how == 0:
        return pa.concat_tables([table] * random.choice((2, 3, max(1, MOST_ROWS // count))))
    if how == 1:
        return table.take(pa.array(range(count - 1, -1, -1)))
    if how == 2:
        return table.take(pa.array([random.randrange(count) for _ in range(count)]))
    return table.slice(random.randrange(count), random.choice((0, 1, count)))


def _with(table: pa.Table, at: int, column: Any) -> pa.Table:
    return table.set_column(at, table.schema.field(at).name, column)


CHANGES: tuple[Callable[[Random, pa.Table], pa.Table], ...] = (
    *(cells, cells, cells, same, swapped, retyped, not_utf8, column_names, rows),
)  # fmt: skip
