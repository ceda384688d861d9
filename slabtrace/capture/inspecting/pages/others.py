# SPDX-License-Identifier: Apache-2.0
"""Pages of the kernel beside the areas that are always searched: it got them from the page allocator.

Such are large kmallocs before 6.14, and tables of alloc_pages().  They are known by what they are not: free,
of the page cache or of processes (on LRU lists, or mapped), of a type, reserved, or of a vmalloc area.

    flags: LRU, reserved, hwpoison    page_type or mapcount    mapping    refcount    page is searched
    none                              ffffffff (none)          0          1           yes
    LRU                               ffffffff                 inode      2           no: page cache
    none                              ffffff7f (buddy)         0          0           no: free
    none (tail)                       ffffffff                 -          0           as its first page is
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from slabtrace.capture.inspecting.memory import LONGEST, Bools, Memory
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.features import KernelShape
from slabtrace.trace.format.batch import Int64, UInt64

_PAGE = 4096
_U64 = 1 << 64
_NO_TYPE = 0xFFFF_FFFF
_FLAGS = ("PG_lru", "PG_reserved", "PG_hwpoison", "PG_slab")  # PG_slab: before 6.10


class OtherShape(NamedTuple):
    """Offsets in struct page; `excluded`: the mask of flags that pages of others have."""

    flags: int
    mapping: int
    mapcount: int
    refcount: int
    compound: int
    excluded: int


def examine(btf: Btf, shape: KernelShape) -> OtherShape | None:
    """The running kernel's; None where it is not known which pages are of the page cache or free."""
    places = {name: _offset(btf, name) for name in ("flags", "mapping", "_mapcount", "_refcount")}
    bits = [btf.enum_value("pageflags", name) for name in _FLAGS]
    found = {name: place for name, place in places.items() if place is not None}
    if len(found) < len(places) or bits[0] is None or bits[1] is None or shape.compound_masked:
        return None
    excluded = sum(1 << bit for bit in bits if bit is not None)
    return OtherShape(
        flags=found["flags"],
        mapping=found["mapping"],
        mapcount=found["_mapcount"],
        refcount=found["_refcount"],
        compound=shape.compound_head,
        excluded=excluded,
    )


def _offset(btf: Btf, name: str) -> int | None:
    return btf.offsetof("page", name) if btf.has_field("page", name) else None


class Ranges(NamedTuple):
    """Memory by begin and bytes, shape (n,) each; `whole`: was there time to look at all pages?"""

    begin: UInt64
    length: Int64
    whole: bool


class OtherPages:
    """Finds such pages by their struct pages.  `vmemmap`: as in slabs/walk.py."""

    def __init__(self, memory: Memory, shape: OtherShape, sizeof_page: int, vmemmap: int) -> None:
        self._memory, self._shape, self._size, self._vmemmap = memory, shape, sizeof_page, vmemmap

    def ranges(self, ram: list[range], base: int, of_areas: UInt64, go_on: Callable[[], bool]) -> Ranges:
        """In these ranges of physical memory; `of_areas`: struct pages of vmalloc areas."""
        block = LONGEST // self._size // 8 * 8 * self._size
        heads, tails, of_tail = (list[UInt64]() for _ in range(3))
        for begin, end in ((base + each.start, base + each.stop) for each in ram):
            first = -(-begin // _PAGE)
            at = (self._vmemmap + first * self._size) % _U64
            total = (end // _PAGE - first) * self._size
            starts = np.arange(0, total, block)
            lengths = np.minimum(block, total - starts)
            for chunk in self._memory.chunks(np.uint64(at) + starts.astype(np.uint64), lengths):
                if len(chunk.words) * 8 % self._size == 0:
                    rows = chunk.words.reshape(-1, self._size // 8)
                    struct = chunk.addresses(np.arange(len(rows)) * (self._size // 8))
                    self._take(rows, struct, heads, tails, of_tail)
                if not go_on():
                    return Ranges(np.empty(0, np.uint64), np.empty(0, np.int64), False)
        first_pages = _joined(heads)
        is_of = np.isin(_joined(of_tail), first_pages)
        pages = np.union1d(first_pages, _joined(tails)[is_of])
        pages = pages[~np.isin(pages, of_areas)]
        memory = (pages - np.uint64(self._vmemmap % _U64)) // np.uint64(self._size) * np.uint64(_PAGE)
        return Ranges(*_together(memory), True)

    def _take(
        self, rows: UInt64, struct: UInt64, heads: list[UInt64], tails: list[UInt64], of_tail: list[UInt64]
    ) -> None:
        """Add the first pages that are such pages, and all tails with the struct page of their first one."""
        compound = rows[:, self._shape.compound // 8]
        is_tail = compound & np.uint64(1) == 1
        heads.append(struct[~is_tail & self._is_other(rows)].copy())
        tails.append(struct[is_tail].copy())
        of_tail.append(compound[is_tail] - np.uint64(1))

    def _is_other(self, rows: UInt64) -> Bools:
        shape, halves = self._shape, rows.view(np.uint32)
        other: Bools = rows[:, shape.flags // 8] & np.uint64(shape.excluded) == 0
        other &= rows[:, shape.mapping // 8] == 0
        other &= halves[:, shape.mapcount // 4] == _NO_TYPE
        references = halves[:, shape.refcount // 4]
        return other & (references > 0) & (references < 1 << 31)


def _joined(parts: Iterable[UInt64]) -> UInt64:
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _together(pages: UInt64) -> tuple[UInt64, Int64]:
    """Pages (ascending) as ranges."""
    if not len(pages):
        return pages, np.empty(0, np.int64)
    begins = np.flatnonzero(np.append(True, np.diff(pages) != _PAGE))
    ends = np.append(begins[1:], len(pages))
    return pages[begins], (ends - begins).astype(np.int64) * _PAGE
