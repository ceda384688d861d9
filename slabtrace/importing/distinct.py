# SPDX-License-Identifier: Apache-2.0
"""The different ones among many values, found by a hash table: faster than by sorting."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Distinct(NamedTuple):
    """Different values, in the order in which they come.

    `code`: which of them each of the n values is, shape (n,); `first`: the first position of each.
    """

    value: NDArray[Any]
    code: NDArray[np.intp]
    first: NDArray[np.intp]


def distinct(values: NDArray[Any]) -> Distinct:
    """The different ones of n values."""
    code, value = pd.factorize(values)
    first = np.empty(len(value), np.intp)
    first[code[::-1]] = np.arange(len(code) - 1, -1, -1)
    return Distinct(value, code, first)
