# SPDX-License-Identifier: Apache-2.0
"""Blocks of pages (record --pages) as an event for each page.

The kernel may split a block and free its pages one by one (split_page: vmalloc, alloc_pages_exact), or give
back the rest of a block that is too large.  With an event for each page every free has its allocation.

Example: a block of order 2 at 0x8000, of which the last page is freed: events at 0x8000, 0x9000, 0xa000 and
0xb000, and a free at 0xb000; three pages are outstanding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.programs.layout import event_dtype
from slabtrace.trace.format.schema import LARGEST_ORDER, PAGES_OF_ORDER

PAGE_SHIFT = np.uint64(12)
_DTYPE = event_dtype()
_PTR, _CACHE = (_DTYPE.fields[name][1] // 8 for name in ("ptr", "cache"))  # type: ignore[index]

Rows = np.ndarray[Any, np.dtype[np.uint64]]


class Pages(NamedTuple):
    """Slots (m, 8), one for each page; `of`: the slot that each was made of, shape (m,)."""

    rows: Rows
    of: NDArray[np.intp]


def pages_of(rows: Rows) -> Pages | None:
    """`rows` (n, 8) with each block of 2^order pages as so many slots; None if there is no such block."""
    order = rows[:, _CACHE] - np.uint64(PAGES_OF_ORDER)  # wraps around for what is no block
    several = (order - np.uint64(1)) < np.uint64(LARGEST_ORDER)
    if not several.any():
        return None
    count = np.where(several, np.int64(1) << np.where(several, order, 0).astype(np.int64), 1)
    of = np.repeat(np.arange(len(rows)), count)
    within = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    found = rows[of]
    found[:, _PTR] += within.astype(np.uint64) << PAGE_SHIFT
    return Pages(found, of)
