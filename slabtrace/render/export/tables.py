# SPDX-License-Identifier: Apache-2.0
"""Tables as Parquet, CSV or JSON Lines, batch by batch: memory does not grow with their length.

Addresses are integers in Parquet.  In CSV and JSON, where readers would round them, they are text like
0xffffffff8127bc41.  CSV joins lists by ";" and escapes what a terminal or a spreadsheet would act on;
Parquet and JSON have names unchanged.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slabtrace.columns import TABLES
from slabtrace.columns.table import DICTS
from slabtrace.render.json import plain
from slabtrace.render.terminal.text import escape

if TYPE_CHECKING:
    import pandas as pd

ADDRESSES = ("ptr", "call_site", "cache", "free_call_site")  # where they are numbers
FORMULAS = tuple("=+-@")  # a spreadsheet runs a cell that begins with one of these as a formula
ROWS = 262_144  # of a Parquet row group: batches are joined up to this number
DICT_LISTS = {each.name for table in TABLES for each in table.columns if each.dtype == DICTS}
_HEX = np.array([f"{byte:02x}" for byte in range(256)], "S2")

Writer = Callable[[BinaryIO, Iterable[pa.RecordBatch]], None]


def batches_of(frame: pd.DataFrame) -> Iterator[pa.RecordBatch]:
    """A DataFrame of the analysis as record batches, at least one; dicts and lists of them are JSON text."""
    frame = frame.copy()
    for name in frame:
        kinds = {type(each) for each in frame[name]} if frame[name].dtype == object else set()
        if name in ADDRESSES and kinds == {int}:  # beyond the range of int64
            frame[name] = frame[name].astype("uint64")
        elif dict in kinds or name in DICT_LISTS:
            frame[name] = [None if each is None else json.dumps(plain(each)) for each in frame[name]]
    table = pa.Table.from_pandas(frame, preserve_index=False).combine_chunks()
    yield from table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]


def write_parquet(out: BinaryIO, batches: Iterable[pa.RecordBatch]) -> None:
    """Write `batches`: at least one, which may be empty and gives the columns."""
    import pyarrow.parquet as pq

    stream = iter(batches)
    first = next(stream)
    with pq.ParquetWriter(out, first.schema, compression="zstd") as writer:
        writer.write_batch(first, row_group_size=ROWS)
        for batch in stream:
            writer.write_batch(batch, row_group_size=ROWS)


def write_csv(out: BinaryIO, batches: Iterable[pa.RecordBatch]) -> None:
    """Write `batches` as RFC 4180 CSV with a header."""
    from pyarrow import csv

    header = True
    for batch in batches:
        csv.write_csv(_converted(batch, for_csv=True), out, csv.WriteOptions(include_header=header))
        header = False


def write_json_lines(out: BinaryIO, batches: Iterable[pa.RecordBatch]) -> None:
    """Write `batches` as JSON Lines: one object per line, all ASCII."""
    for batch in batches:
        text = io.StringIO()
        frame = _converted(batch, for_csv=False).to_pandas(integer_object_nulls=True)
        frame.to_json(text, orient="records", lines=True, double_precision=15)
        if len(frame):  # of an empty frame pandas writes an empty line
            out.write(text.getvalue().encode("ascii"))


WRITERS: dict[str, Writer] = {"parquet": write_parquet, "csv": write_csv, "json": write_json_lines}


def _converted(batch: pa.RecordBatch, for_csv: bool) -> pa.Table:
    columns = {name: _column(name, batch.column(name), for_csv) for name in batch.schema.names}
    return pa.table(columns)


def _column(name: str, column: pa.Array, for_csv: bool) -> pa.Array:
    if name in ADDRESSES and pa.types.is_unsigned_integer(column.type):
        return _hex(column)
    if not for_csv:
        return column
    if pa.types.is_list(column.type):
        column = pa.array([";".join(map(str, each or ())) for each in column.to_pylist()], pa.string())
    elif pa.types.is_null(column.type):
        column = column.cast(pa.string())
    return _escaped(column) if _is_text(column.type) else column


def _is_text(of: pa.DataType) -> bool:
    """Whether a type is text; pandas 3 has large_string."""
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of))


def _hex(column: pa.Array) -> pa.Array:
    """Addresses as 0x and 16 digits; no loop over them."""
    numbers = np.ascontiguousarray(column.to_numpy(zero_copy_only=False).astype(">u8"))
    digits = _HEX[numbers.view(np.uint8)].reshape(len(numbers), 8)
    text: Any = digits.view("S16").reshape(len(numbers)) if len(numbers) else np.empty(0, "S16")
    return pc.binary_join_element_wise("0x", pa.array(text, pa.binary()).cast(pa.string()), "")


def _escaped(column: pa.Array) -> pa.Array:
    """Text, each distinct one escaped once."""
    encoded = column.dictionary_encode()
    words = [None if text is None else _cell(escape(text)) for text in encoded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(encoded.indices)


def _cell(text: str) -> str:
    return f"\\x{ord(text[0]):02x}{text[1:]}" if text.startswith(FORMULAS) else text
