# SPDX-License-Identifier: Apache-2.0
"""The pages with objects that were allocated while recording: a byte for each page of memory.

A bit for each would take an eighth of the memory, and seven times as long to set (20 instead of 3 ns an event
with NumPy).  So it is bytes, 1/4096 of the memory at most; those that are never set use none.
"""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slabtrace.trace.format.batch import UInt64

PAGE_SHIFT = np.uint64(12)
ZONES = Path("/proc/zoneinfo")
_SPAN = re.compile(r"^\s+spanned\s+(\d+)|^\s+start_pfn:\s+(\d+)", re.MULTILINE)
_MAP_NORESERVE = 0x4000  # asm-generic/mman.h


def highest_page(zones: Path = ZONES) -> int:
    """One more than the highest page number of physical memory; 0 if it is not known.

    Nodes may lie far apart: the number of pages says less.
    """
    try:
        rows = _SPAN.findall(zones.read_text())
    except OSError:
        return 0
    spans = [int(spanned) for spanned, _ in rows if spanned]
    starts = [int(start) for _, start in rows if start]
    return max(map(sum, zip(starts, spans, strict=False)), default=0)


class TouchedPages:
    """Remembers pages by the lower bits of their number, which are unique in the direct map.

    The kernel maps all memory in one range, `pages` long with its holes.  Twice that is allowed for, because
    memory may be added.
    """

    def __init__(self, pages: int | None = None) -> None:
        known = pages or max(highest_page(), 2 * os.sysconf("SC_PHYS_PAGES"))
        self._size = 1 << (2 * known - 1).bit_length()
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._touched: NDArray[np.bool_] = np.frombuffer(mmap.mmap(-1, self._size, flags=flags), np.bool_)
        self._mask = np.uint64(self._size - 1)
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
        if not 0 <= self._highest - self._lowest < self._size:
            return np.empty(0, np.uint64)
        begin, end = self._lowest % self._size, self._highest % self._size + 1
        parts = [(begin, end)] if begin < end else [(begin, self._size), (0, end)]
        index = np.concatenate([first + np.flatnonzero(self._touched[first:last]) for first, last in parts])
        page = np.uint64(self._lowest) + ((index.astype(np.uint64) - np.uint64(self._lowest)) & self._mask)
        return page << PAGE_SHIFT
