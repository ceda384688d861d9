# SPDX-License-Identifier: Apache-2.0
"""A digest as a file: Parquet with columns.fleet.DIGEST, at most 1 MiB, and read back without trusting it.

The version stands in the file's metadata under "slabtrace.digest", and the row of the trace once more under
"slabtrace.trace" as JSON, so that it can be read without decoding anything.  A column may be added with a new
minor version.  Strangers' digests are bounded before they are used: Parquet stores a text once that a million
rows have.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from slabtrace.columns.fleet import DIGEST, TRACE_FACTS
from slabtrace.columns.table import Column
from slabtrace.errors import TraceError

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".digest.parquet"
KEY, TRACE_KEY = b"slabtrace.digest", b"slabtrace.trace"
MAJOR, MINOR = 1, 0
MOST_BYTES = 1 << 20  # of a file
MOST_ROWS, MOST_TEXT = 1 << 13, 1 << 15  # of a file; bytes of a text
LARGEST = 1 << 62
_TYPES = {"text": pa.string(), "int64": pa.int64(), "Int64": pa.int64(), "bool": pa.bool_()}
SCHEMA = pa.schema([(each.name, _TYPES[each.dtype]) for each in DIGEST.columns])
FACTS = [each.name for each in TRACE_FACTS]
TEXTS = [each.name for each in DIGEST.columns if each.dtype == "text"]


def encoded(frame: pd.DataFrame) -> bytes:
    """columns.fleet.DIGEST as a file; where it is too large, findings are left out, as many as needed."""
    while len(content := _encoded(frame)) > MOST_BYTES:
        frame = _smaller(frame)
    return content


def _encoded(frame: pd.DataFrame) -> bytes:
    return encoded_table(pa.Table.from_pandas(frame, SCHEMA, preserve_index=False))


def encoded_table(table: pa.Table) -> bytes:
    """A table of SCHEMA, the row of the trace first, as a file of whatever size."""
    trace = json.dumps(table.select(FACTS).slice(0, 1).to_pylist()[0])
    table = table.replace_schema_metadata({KEY: f"{MAJOR}.{MINOR}".encode(), TRACE_KEY: trace.encode()})
    to = io.BytesIO()
    pq.write_table(table, to, compression="zstd", use_dictionary=True, write_statistics=False)
    return to.getvalue()


def _smaller(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the later half of the findings, or without caches where there are no findings."""
    findings = frame.index[frame["row"] == "finding"]
    gone = findings[len(findings) // 2 :] if len(findings) else frame.index[1:]
    left = frame.drop(index=gone)
    left["findings_left_out"] = left["findings_left_out"] + (len(gone) if len(findings) else 0)
    return left


class Digest:
    """A digest, opened from the content of a file; nothing but its metadata is decoded yet.

    Raises TraceError if it is none, is damaged, of a newer major version, or larger than any digest.
    """

    def __init__(self, content: bytes | pa.Buffer, name: str) -> None:
        if len(content) > MOST_BYTES:
            raise TraceError(f"{name} is too large for a digest", "digests have at most 1 MiB")
        self._name = name
        try:
            metadata = pq.read_metadata(pa.BufferReader(content))
            meta = metadata.metadata or {}
        except (pa.ArrowException, OSError, ValueError) as error:
            raise TraceError(f"{name} is not a digest: {_first_line(error)}") from None
        self._check(meta.get(KEY, b""), metadata.num_rows)
        try:
            self._file = pq.ParquetFile(pa.BufferReader(content), metadata=metadata, read_dictionary=TEXTS)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise TraceError(f"{name} is damaged: {_first_line(error)}") from None
        self._trace = meta.get(TRACE_KEY, b"")

    def trace(self) -> dict[str, Any]:
        """columns.fleet.TRACE_FACTS of the trace.  Raises TraceError."""
        try:
            found = json.loads(self._trace)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not all(
            _is_fact(found.get(each.name), each) for each in TRACE_FACTS
        ):
            raise TraceError(f"{self._name} does not say which trace it is of", "The digest is damaged.")
        return {name: found[name] for name in FACTS}

    def findings(self, columns: Sequence[str]) -> pa.Table:
        """These columns of the rows of findings; texts are dictionaries.  Raises TraceError."""
        table = self._read([*columns, *({"row"} - set(columns))])
        is_finding = pa.compute.equal(table.column("row").cast(pa.string()), "finding")
        return table.filter(is_finding).select(list(columns))

    def _check(self, version: bytes, rows: int) -> None:
        major = version.split(b".")[0]
        if not major.isdigit():
            raise TraceError(f"{self._name} is not a digest of slabtrace")
        if int(major[:9]) > MAJOR:
            shown = version[:20].decode("ascii", "replace")
            raise TraceError(
                f"{self._name} has digest version {shown}; this slabtrace reads up to {MAJOR}.x",
                "Read it with a newer slabtrace.",
            )
        if not 1 <= rows <= MOST_ROWS:
            raise TraceError(f"{self._name} has more rows than any digest", "The digest is damaged.")

    def _read(self, columns: Sequence[str]) -> pa.Table:
        try:
            table = self._file.read(list(columns), use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise TraceError(
                f"{self._name} cannot be read: {_first_line(error)}", "The digest is damaged."
            ) from None
        for name in columns:
            if (
                name not in table.column_names
                or _plain(table.schema.field(name).type) != SCHEMA.field(name).type
            ):
                raise TraceError(f"{self._name} has no column {name}", "The digest is damaged.")
            self._check_texts(table.column(name))
        return table

    def _check_texts(self, column: pa.ChunkedArray) -> None:
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type):
                longest = pa.compute.max(pa.compute.binary_length(chunk.dictionary)).as_py()
                if (longest or 0) > MOST_TEXT or chunk.null_count:
                    raise TraceError(f"{self._name} has a text that no digest has", "The digest is damaged.")


def _is_fact(value: Any, column: Column) -> bool:
    """Whether `value` may stand in the column."""
    if column.dtype == "text":
        return isinstance(value, str) and len(value) <= MOST_TEXT
    if column.dtype == "bool":
        return isinstance(value, bool)
    missing = value is None and column.dtype == "Int64"
    return missing or (type(value) is int and -LARGEST < value < LARGEST)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
