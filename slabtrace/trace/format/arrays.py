# SPDX-License-Identifier: Apache-2.0
"""Arrow columns as NumPy arrays, and back.

pyarrow's own to_numpy and array() import pandas when they are first called.  That takes longer than reading a
million events, and 40 MB of a recorder's memory.  The columns here do not need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def plain(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """The numbers of a column without nulls, shape (n,); a view of its memory where possible.

    Dictionary-encoded columns are decoded.
    """
    if isinstance(column, pa.ChunkedArray):
        chunks = [plain(chunk) for chunk in column.chunks]
        return chunks[0] if len(chunks) == 1 else np.concatenate([_none_of(column.type), *chunks])
    if isinstance(column, pa.DictionaryArray):
        return plain(column.dictionary).take(plain(column.indices))
    values, none = column.buffers()[1], _none_of(column.type)
    if values is None:  # an empty array may have no buffer
        return none
    numbers: NDArray[Any] = np.frombuffer(values, none.dtype, len(column), column.offset * none.itemsize)
    return numbers


def _none_of(kind: pa.DataType) -> NDArray[Any]:
    """An empty array for columns of this type."""
    plain_kind = kind.value_type if isinstance(kind, pa.DictionaryType) else kind
    none: NDArray[Any] = np.empty(0, plain_kind.to_pandas_dtype())
    return none


def column(values: Sequence[Any] | NDArray[Any], kind: pa.DataType) -> pa.Array:
    """A column of numbers, booleans, strings, bytes, or lists of these; no value may be None.

    An array of numbers of that type is not copied.
    """
    if pa.types.is_list(kind):
        flat = [each for value in values for each in value]
        return pa.Array.from_buffers(
            kind, len(values), [None, _offsets(values)], children=[column(flat, kind.value_type)]
        )
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        texts = [value if isinstance(value, bytes) else value.encode() for value in values]
        return pa.Array.from_buffers(
            kind, len(values), [None, _offsets(texts), pa.py_buffer(b"".join(texts))]
        )
    numbers = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype())
    if pa.types.is_boolean(kind):
        numbers = np.packbits(numbers, bitorder="little")
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(numbers)])


def no_rows(fields: pa.Schema) -> pa.Table:
    """A table of these columns without rows."""
    return pa.Table.from_arrays([column([], field.type) for field in fields], schema=fields)


def _offsets(values: Sequence[Any] | NDArray[Any]) -> pa.Buffer:
    """The offset of each value, and the end of the last, if they are stored one after the other."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.py_buffer(ends)
