# SPDX-License-Identifier: Apache-2.0
"""The objects of a slab that are in use, as the words in them: no Python for each object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.trace.format.batch import UInt64


class Objects(NamedTuple):
    """n objects of one cache: their addresses, shape (n,), and their words, shape (n, stride // 8)."""

    address: UInt64
    words: UInt64

    def u64(self, offset: int) -> UInt64:
        """The word at `offset` in each object, shape (n,)."""
        return self.words[:, offset // 8]

    def i32(self, offset: int) -> NDArray[np.int64]:
        """The signed 32 bits at `offset` in each object, shape (n,)."""
        return self.words.view(np.int32)[:, offset // 4].astype(np.int64)

    def take(self, chosen: NDArray[np.bool_]) -> Objects:
        """Some of the objects."""
        return Objects(self.address[chosen], self.words[chosen])


def joined(parts: Iterable[tuple[Any, ...]], empty: tuple[Any, ...]) -> list[Any]:
    """The columns of all parts, one after another; `empty` has no rows, and the dtypes."""
    return [np.concatenate(columns) for columns in zip(empty, *parts, strict=True)]


def read_objects(walk: SlabWalk, first: int, stride: int, in_use: NDArray[np.bool_]) -> Objects | None:
    """The objects at `first` + i * `stride` for which `in_use[i]`; None if they cannot be read."""
    if stride <= 0 or stride % 8:
        return None
    raw = walk.read_long(first, stride * len(in_use))
    if raw is None or len(raw) != stride * len(in_use):
        return None
    words = np.frombuffer(raw, np.uint64).reshape(len(in_use), stride // 8)
    index = np.flatnonzero(in_use)
    return Objects(np.uint64(first) + np.uint64(stride) * index.astype(np.uint64), words[index])
