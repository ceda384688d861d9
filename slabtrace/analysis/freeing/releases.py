# SPDX-License-Identifier: Apache-2.0
"""How many objects that were allocated at one site were freed at another, by time.

A pair is (site of the allocation, site of the free).  Each has one row of counters, found by a hash of the
pair: NumPy looks up a whole chunk at once.  Only pairs that are new, or whose place in the table another pair
has, take the slow way.  Objects count in the part of the time in which they were allocated: so it shows
whether siblings still came after a place had freed its last one (stopped.py).

Memory: 560 bytes for each pair, MOST_PAIRS at most (36 MiB), and a table of 2 MiB.  Pairs beyond are counted
for their allocation site alone (`unlisted`).

Example: a recording of 64 s.  An object was allocated at 10 s at site 3 and freed 2 s later at site 8.

    pair      in column of `when`     freed_ns (the last)    longest_ns
    (3, 8)    1 + 10 s / 1.07 s = 10  12 s                   2 s
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.pairing.paired import Positions

PARTS = 64  # of the time at most: their length is a power of two
COLUMNS = PARTS + 1  # the first: allocated before the time began
MOST_PAIRS = 1 << 16
TABLE_BITS = 18
SITE_BITS = 32  # of a key: site of the allocation | site of the free
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio: its multiples are spread evenly
NO_ROW = -1
NOWHERE = (1 << SITE_BITS) - 1  # the site of a free that was missed; in Pairs it is MISSED
MISSED = -1
PIECE = 1 << 14  # objects counted at a time: their arrays stay in the CPU's cache, and cost no page faults


class Pairs(NamedTuple):
    """p pairs.  `site` (of the allocation), `freed_at` (of the free, MISSED if it was missed): shape (p,).

    `objects`: how many, shape (p,).  `when`, shape (p, COLUMNS): of these, those whose time is known, by the
    part in which they were allocated.  `last_ns`: the last free, -1 if not known; `longest_ns`: the longest
    lifetime, both of shape (p,).
    """

    site: Positions
    freed_at: Positions
    objects: NDArray[np.int64]
    when: NDArray[np.int64]
    last_ns: NDArray[np.int64]
    longest_ns: NDArray[np.int64]


class Releases:
    """Counts pairs of objects that were allocated from `begin_ns` to `end_ns` (CLOCK_MONOTONIC).

    `part_ns`: the length of a part of the time, a power of two.  `unlisted`: how many objects are of pairs
    that found no room.
    """

    def __init__(self, begin_ns: int, end_ns: int) -> None:
        self.begin_ns, self.end_ns = begin_ns, max(end_ns, begin_ns + 1)
        self._shift = max((self.end_ns - begin_ns).bit_length() - (PARTS.bit_length() - 1), 0)
        self._row: dict[int, int] = {}
        self._table = np.full(1 << TABLE_BITS, NO_ROW, np.intp)
        self._key = np.full(2, NO_ROW, np.int64)  # of each row; the last is NO_ROW's and never matches
        self._when = np.zeros((COLUMNS, 1), np.int64)  # the counters of one part of the time lie together
        self._more = np.zeros(1, np.int64)
        self._last_ns, self._longest_ns = np.full(1, -1, np.int64), np.zeros(1, np.int64)
        self.unlisted = 0

    @property
    def part_ns(self) -> int:
        """The length of a part of the time."""
        return 1 << self._shift

    def add(
        self,
        site: Positions,
        freed_at: Positions,
        freed_ns: NDArray[np.int64],
        lived_ns: NDArray[np.int64],
    ) -> None:
        """Take n objects that were freed: all of shape (n,).  `freed_at`: NOWHERE where that was missed."""
        for begin in range(0, len(site), PIECE):
            piece = slice(begin, begin + PIECE)
            self._add(site[piece], freed_at[piece], freed_ns[piece], lived_ns[piece])

    def _add(
        self,
        site: Positions,
        freed_at: Positions,
        freed_ns: NDArray[np.int64],
        lived_ns: NDArray[np.int64],
    ) -> None:
        row = self._rows(site, freed_at)
        if not self._room:
            listed = np.flatnonzero(row != NO_ROW)
            self.unlisted += len(row) - len(listed)
            row, freed_ns, lived_ns = row[listed], freed_ns[listed], lived_ns[listed]
        cell = self.parts(freed_ns - lived_ns)
        cell *= self._when.shape[1]
        cell += row
        np.add.at(self._when.reshape(-1), cell, 1)
        np.maximum.at(self._last_ns, row, freed_ns)
        longer = np.flatnonzero(lived_ns > self._longest_ns.take(row, mode="wrap"))  # few, and ever fewer
        np.maximum.at(self._longest_ns, row[longer], lived_ns[longer])

    def take(self, site: Positions, freed_at: Positions, objects: NDArray[np.int64]) -> None:
        """Take numbers of objects of which the times are not known: all of shape (n,)."""
        row = self._rows(site, freed_at)
        listed = row != NO_ROW
        self.unlisted += int(objects[~listed].sum())
        np.add.at(self._more, row[listed], objects[listed])

    def parts(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The column of `when` of each time, shape (n,): 0 before `begin_ns`, then 1 for the first part."""
        part = ts_ns - self.begin_ns
        part >>= self._shift
        part += 1
        np.maximum(part, 0, out=part)
        return np.minimum(part, PARTS, out=part)

    def pairs(self) -> Pairs:
        """All pairs, in the order in which they were first seen."""
        number = len(self._row)
        key = self._key[:number]
        when = self._when[:, :number].T
        objects = when.sum(axis=1) + self._more[:number]
        freed_at = (key & NOWHERE).astype(np.intp)
        freed_at[freed_at == NOWHERE] = MISSED
        site = (key >> SITE_BITS).astype(np.intp)
        return Pairs(site, freed_at, objects, when, self._last_ns[:number], self._longest_ns[:number])

    @property
    def _room(self) -> bool:
        return len(self._row) < MOST_PAIRS

    def _rows(self, site: Positions, freed_at: Positions) -> Positions:
        """The row of each pair, NO_ROW where there is no room for it: shape (n,)."""
        key = site << SITE_BITS
        key |= freed_at
        mixed = key.view(np.uint64) * GOLDEN
        mixed >>= np.uint64(64 - TABLE_BITS)
        place = mixed.view(np.intp)
        row = self._table.take(place, mode="wrap")
        missing = np.flatnonzero(self._key.take(row, mode="wrap") != key)
        if len(missing):
            names, which = np.unique(key[missing], return_inverse=True)
            first = np.full(len(names), 0, np.intp)
            first[which] = place[missing]
            rows = [self._row_of(*each) for each in zip(names.tolist(), first.tolist(), strict=True)]
            row[missing] = np.array(rows, np.intp)[which]
        return row

    def _row_of(self, key: int, place: int) -> int:
        """The row of a pair that was not found at its place in the table; it is added if it is new."""
        row = self._row.get(key, NO_ROW)
        if row == NO_ROW and self._room:
            row = self._row[key] = len(self._row)
            self._grow()
            self._key[row] = key
            if self._table[place] == NO_ROW:
                self._table[place] = row
        return row

    def _grow(self) -> None:
        """Make room for the last row, by doubling."""
        rows = len(self._last_ns)
        if len(self._row) <= rows:
            return
        self._key = np.concatenate([self._key[:-1], np.full(rows + 1, NO_ROW, np.int64)])
        self._when = np.pad(self._when, ((0, 0), (0, rows)))
        self._more = np.pad(self._more, (0, rows))
        self._last_ns = np.concatenate([self._last_ns, np.full(rows, -1, np.int64)])
        self._longest_ns = np.pad(self._longest_ns, (0, rows))
