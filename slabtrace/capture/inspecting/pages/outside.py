# SPDX-License-Identifier: Apache-2.0
"""Objects that are in no slab: large kmallocs, which are pages, and objects of KFENCE.

address                                       state
not in the direct map (per-CPU memory)        UNREAD
first page of a large kmalloc (6.14)          USED
page of KFENCE                                USED, or FREE if it cannot be read: KFENCE unmaps what is free
a slab that came later, or before 6.14        UNREAD
another page                                  FREE
"""

from __future__ import annotations

import numpy as np

from slabtrace.capture.inspecting.memory import Memory
from slabtrace.capture.inspecting.physical import PageKind, Pages, PageScan
from slabtrace.capture.inspecting.use import FREE, USED, States, not_known
from slabtrace.trace.format.batch import UInt64

_PAGE = np.uint64(4096)


class Outside:
    """`memory_range`: the addresses of the direct map."""

    def __init__(self, memory: Memory, scan: PageScan, memory_range: range) -> None:
        self._memory, self._scan, self._range = memory, scan, memory_range
        self._sizes: dict[int, int] = {}
        self._guarded = np.empty(0, np.uint64)

    def renew(self, pages: Pages) -> None:
        """Take what was found in the struct pages."""
        self._sizes = dict(zip(pages.large.tolist(), pages.large_bytes.tolist(), strict=True))
        self._guarded = pages.kfence.memory

    def size(self, address: int) -> int:
        """Bytes of the large kmalloc that begins at the address; 0 if there is none."""
        return self._sizes.get(address, 0)

    def states(self, addresses: UInt64) -> States:
        """The state of each object, shape (n,)."""
        states = not_known(addresses)
        mine = np.flatnonzero((addresses >= self._range.start) & (addresses < self._range.stop))
        kinds = self._scan.kinds(addresses[mine])
        states[mine[kinds == PageKind.LARGE]] = USED
        if self._scan.knows_large:
            states[mine[kinds == PageKind.OTHER]] = FREE
        guarded = np.flatnonzero(np.isin(addresses // _PAGE * _PAGE, self._guarded))
        if len(guarded):
            _, readable = self._memory.structs(addresses[guarded] // np.uint64(8) * np.uint64(8), 8)
            states[guarded] = np.where(readable, USED, FREE)
        return states
