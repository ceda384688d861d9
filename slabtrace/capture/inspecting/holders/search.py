# SPDX-License-Identifier: Apache-2.0
"""Search memory for the addresses of objects: of their begin, and of places inside.

A word of memory that is such an address is a hit.  The search costs two comparisons for a word; only words
that lie between the lowest and the highest object are looked at more closely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.inspecting.memory import Chunk, Memory
from slabtrace.trace.format.batch import Int64, UInt64

_PAGE_BITS = np.uint64(12)
MOST_HITS = 2_000_000  # of one search; what points at one object a million times is no holder


class Area(NamedTuple):
    """Memory that is searched: its kind ("slab", "data", …), its name, and [begin, begin + length)."""

    kind: str
    name: str
    begin: int
    length: int


class Hits(NamedTuple):
    """n words that are addresses of objects: where the word is, its value, the number of the object."""

    place: UInt64
    value: UInt64
    target: Int64

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Hits:
        """Some of the hits."""
        return Hits(self.place[chosen], self.value[chosen], self.target[chosen])


NO_HITS = Hits(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64))


class Targets:
    """The objects that are searched for, ascending by `begin`; `size` in bytes."""

    def __init__(self, begin: UInt64, size: Int64) -> None:
        order = np.argsort(begin, kind="stable")
        self.begin, self.size = begin[order], size[order].astype(np.uint64)
        self._low = self.begin[0] if len(begin) else np.uint64(0)
        span = int(self.begin[-1] - self._low) + int(self.size[-1]) if len(begin) else 0
        self._span = np.uint64(span)
        self._pages = np.zeros((span >> 12) + 2, np.bool_)
        for first, last in zip(self._page(self.begin).tolist(), self._page(self.begin + self.size - np.uint64(1)).tolist(), strict=True):  # fmt: skip  # noqa: E501
            self._pages[first : last + 1] = True

    def _page(self, address: UInt64) -> Int64:
        low = self._low >> _PAGE_BITS
        return ((address >> _PAGE_BITS) - low).astype(np.int64)

    def __len__(self) -> int:
        return len(self.begin)

    def hits(self, chunk: Chunk) -> Hits:
        """The hits in a chunk of memory."""
        index = np.flatnonzero(chunk.words - self._low < self._span)
        if not len(index):
            return NO_HITS
        index = index[self._pages[self._page(chunk.words[index])]]
        values = chunk.words[index]
        target = np.searchsorted(self.begin, values, "right") - 1
        inside = (target >= 0) & (values - self.begin[target] < self.size[target])
        index, target = index[inside], target[inside]
        return Hits(chunk.addresses(index), values[inside], target.astype(np.int64))


class Found(NamedTuple):
    """What a search found; `searched`: bytes that could be read; `whole`: was there time for everything?"""

    hits: Hits
    searched: int
    whole: bool


def search(
    memory: Memory, targets: Targets, begin: UInt64, length: Int64, go_on: Callable[[], bool]
) -> Found:
    """Search ranges of memory (multiples of 8 bytes) for the targets."""
    parts, searched, number, whole = [NO_HITS], 0, 0, True
    if not len(targets) or not len(begin):
        return Found(NO_HITS, 0, True)
    chunks = memory.chunks(begin, length)
    for chunk in chunks:
        hits = targets.hits(chunk)
        searched += len(chunk.words) * 8 - chunk.unread
        number += len(hits.place)
        parts.append(hits)
        if number > MOST_HITS or not go_on():
            whole = next(chunks, None) is None
            break
    return Found(joined(parts), searched, whole)


def joined(parts: Iterable[Hits]) -> Hits:
    """All hits, one after another."""
    return Hits(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
