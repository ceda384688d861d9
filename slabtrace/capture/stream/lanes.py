# SPDX-License-Identifier: Apache-2.0
"""One kind of ring of all lanes (slots, or repeats): what is committed and not read yet, and where it lies.

Example: a lane of 8 slots that has 10 committed ones, of which 7 are read.

    slot      0   1   2   3   4   5   6   7
    number    8   9   2   3   4   5   6   7      the runs to read: [7], and [8, 9]
                      ^ head                ^ read
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Rows = np.ndarray[Any, np.dtype[np.uint64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]


class LaneRings:
    """`words`: all places, shape (n, words of each).  `heads`, `tails`: as mapped, shape (cpus, lanes)."""

    def __init__(self, words: Rows, heads: Rows, tails: Rows, sizes: Sequence[int]) -> None:
        self._words, self._heads, self._tails = words, heads, tails
        self._sizes = np.array(sizes, np.uint64)
        before = np.cumsum([0, *sizes[:-1]])
        self._first = np.arange(len(heads))[:, None] * sum(sizes) + before  # index of each lane's first place
        self._read = tails.copy()
        self.pending: Counts = np.zeros(heads.shape, np.int64)  # when they were last looked at

    def look(self) -> int:
        """Read all heads.  How much there is to read."""
        self.pending = (self._heads - self._read).astype(np.int64)
        return int(self.pending.sum())

    def lanes(self) -> list[tuple[int, int, int]]:
        """(cpu, lane, pending) where anything is pending."""
        return [(cpu, lane, int(self.pending[cpu, lane])) for cpu, lane in np.argwhere(self.pending).tolist()]

    def fill(self) -> float:
        """How full the fullest ring is right now, 0 to 1."""
        return float(((self._heads - self._read) / self._sizes).max())

    def time(self, cpu: int, lane: int, position: int) -> int:
        """Time (ns) of what is `position` places after the next one to read."""
        index = (int(self._read[cpu, lane]) + position) & (int(self._sizes[lane]) - 1)
        return int(self._words[int(self._first[cpu, lane]) + index, 0])

    def older(self, cpu: int, lane: int, until: int) -> int:
        """How much of what is pending in a lane is not newer than `until` (ns).  Lanes are ordered."""
        low, high = 0, int(self.pending[cpu, lane])
        while low < high:
            middle = (low + high) // 2
            if self.time(cpu, lane, middle) <= until:
                low = middle + 1
            else:
                high = middle
        return low

    def runs(self, cpu: int, lane: int, count: int) -> Iterator[tuple[int, Rows]]:
        """The next `count` of a lane, as at most two views; each with the number of its first one.

        They are free once the iterator has ended.
        """
        size, first = int(self._sizes[lane]), int(self._first[cpu, lane])
        number = int(self._read[cpu, lane])
        at = number & (size - 1)
        run = min(count, size - at)
        if run:
            yield number, self._words[first + at : first + at + run]
        if count > run:
            yield number + run, self._words[first : first + count - run]
        self._read[cpu, lane] = np.uint64((number + count) % 2**64)
        self._tails[cpu, lane] = self._read[cpu, lane]
