# SPDX-License-Identifier: Apache-2.0
"""Arrow columns of fixed-width numbers as NumPy arrays.

pyarrow's own to_numpy imports pandas the first time it is called, which takes longer than reading
a million events; these columns need nothing of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def plain(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """The numbers of a column without nulls, shape (n,); a view of its memory where it can be one.

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
