# SPDX-License-Identifier: Apache-2.0
"""Which site a repeat is of: it names a slot of its lane (bpf/repeats.h), and of each slot the site is kept.

There are REMEMBERED * size places for a lane of `size` slots, used in turn.  So the site of slot s is lost
when slot s + REMEMBERED * size is taken.  No repeat names it later:

- A repeat that was committed when the lane had committed h slots names a slot s > h - size / 2.
- A drain that stops at a time earlier than the repeat's takes no slot beyond h.  Any other drain takes the
  repeat, after slots; but one that had looked at the repeats just before it was committed leaves it to
  the next.  Each of the two takes at most as many slots as the ring has: up to h + 2 * size.
- h + 2 * size < s + 2.5 * size, which is less than s + REMEMBERED * size.

Example: lanes of 64 and 4 slots (and so 256 and 16 places) for each CPU.

    slot 300 of lane 0 of CPU 1     place 272 + (300 mod 256) = 316
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slabtrace.capture.stream.lanes import Counts, Rows

REMEMBERED = 4

Places = Counts


class SlotPlaces:
    """Where the site of each slot is kept.  `sizes`: slots of each lane, powers of two."""

    def __init__(self, cpus: int, sizes: Sequence[int]) -> None:
        self._sizes = [size * REMEMBERED for size in sizes]
        before = np.cumsum([0, *self._sizes])
        self._first = (np.arange(cpus)[:, None] * before[-1] + before[:-1]).tolist()
        self.count = cpus * int(before[-1])

    def of_slots(self, cpu: int, lane: int, number: int, count: int) -> Places:
        """Of `count` slots of a lane from `number` on, shape (count,)."""
        mask = self._sizes[lane] - 1
        places: Places = np.arange(number & mask, (number & mask) + count)
        places &= mask
        places += self._first[cpu][lane]
        return places

    def of_repeats(self, cpu: int, lane: int, rows: Rows) -> Places:
        """Of the slots that repeats (n, 3) of a lane name, shape (n,)."""
        places: Places = (rows[:, 2] & np.uint64(self._sizes[lane] - 1)).view(np.int64)
        places += self._first[cpu][lane]
        return places


class SlotSites:
    """The sites of slots, by their places."""

    def __init__(self, places: int) -> None:
        self._site = np.zeros(places, np.uint32)

    def remember(self, places: Places, sites: np.ndarray[Any, np.dtype[np.uint32]]) -> None:
        """The slots at these places are of these sites."""
        self._site[places] = sites

    def of(self, places: Places) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """The sites at these places."""
        return self._site.take(places)
