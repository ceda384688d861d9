# SPDX-License-Identifier: Apache-2.0
"""The pages with objects that were allocated while recording: a byte for each page of memory."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from slabtrace.trace.format.batch import UInt64

PAGE_SHIFT = np.uint64(12)


class TouchedPages:
    """Remembers pages by the lower bits of their number, which are unique in the direct map.

    The kernel maps all memory in one range.  Holes make the range longer than the amount of memory; four
    times the amount is allowed for.  Bytes that are never set use no memory.
    """

    def __init__(self, pages: int | None = None) -> None:
        self._size = 1 << (4 * (pages or os.sysconf("SC_PHYS_PAGES")) - 1).bit_length()
        self._mask = np.uint64(self._size - 1)
        self._touched: NDArray[np.bool_] = np.zeros(self._size, np.bool_)
        self._lowest, self._highest = (1 << 64) - 1, 0

    def add(self, ptr: UInt64) -> None:
        """Mark the pages of the objects at `ptr`, shape (n,)."""
        if not len(ptr):
            return
        page = ptr >> PAGE_SHIFT
        self._touched[(page & self._mask).view(np.int64)] = True
        self._lowest = min(self._lowest, int(page.min()))
        self._highest = max(self._highest, int(page.max()))

    def addresses(self) -> UInt64:
        """Addresses of the marked pages, ascending; none if their range is too long for unique lower bits."""
        if self._highest - self._lowest >= self._size:
            return np.empty(0, np.uint64)
        index = np.flatnonzero(self._touched).astype(np.uint64)
        page = np.uint64(self._lowest) + ((index - np.uint64(self._lowest)) & self._mask)
        return np.sort(page << PAGE_SHIFT)
