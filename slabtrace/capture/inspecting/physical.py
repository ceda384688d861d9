# SPDX-License-Identifier: Apache-2.0
"""Every slab of the machine, found by its struct page; and where physical memory is in the address space.

/proc/iomem says which physical memory there is.  The direct map begins at a multiple of 1 GiB that may be
random (CONFIG_RANDOMIZE_MEMORY).  It is found by a page of slabtrace's own: random bytes are written to it,
/proc/self/pagemap gives its physical place, and the possible beginnings are tried.
"""

from __future__ import annotations

import ctypes as ct
import mmap
import os
import re
import struct
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.inspecting.memory import LONGEST, Bools, Chunk, Memory
from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.kernel.features import KernelShape
from slabtrace.capture.slabs.places import Slabs, is_slab
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.errors import CaptureError
from slabtrace.trace.format.batch import Int64, UInt64

IOMEM = Path("/proc/iomem")
PAGEMAP = Path("/proc/self/pagemap")
_PAGE, _GIB = 4096, 1 << 30
_U64 = 1 << 64
_PFN = (1 << 55) - 1  # Documentation/admin-guide/mm/pagemap.rst
_RANGE = re.compile(r"^\s*([0-9a-f]+)-([0-9a-f]+) : (.+)$")
_TRIED = 64  # bytes that are compared


class PhysicalMemory(NamedTuple):
    """RAM by physical address, [begin, end); the parts of the kernel's image by name; bytes of the RAM."""

    ram: list[range]
    image: dict[str, range]

    @property
    def total(self) -> int:
        """Bytes of RAM."""
        return sum(len(each) for each in self.ram)


def parse_iomem(text: str) -> PhysicalMemory:
    """What /proc/iomem says.  Raises CaptureError where the kernel hides the addresses."""
    rows = [match.groups() for line in text.splitlines() if (match := _RANGE.match(line))]
    ranges = [(name, range(int(first, 16), int(last, 16) + 1)) for first, last, name in rows]
    ram = [each for name, each in ranges if name == "System RAM" and len(each) > 1]
    if not ram:
        raise CaptureError(
            "/proc/iomem does not show where memory is", "run slabtrace census as root (CAP_SYS_ADMIN)"
        )
    image = {name: each for name, each in ranges if name.startswith("Kernel ")}
    return PhysicalMemory(ram, image)


def direct_map(memory: Memory, known: int, end: int) -> int:
    """The address at which physical address 0 is mapped.

    `known`: an address in the direct map; `end`: that of the physical memory.  Raises CaptureError.
    """
    own = mmap.mmap(-1, _PAGE)
    own[:_TRIED] = secret = os.urandom(_TRIED)
    frame = _frame(ct.addressof(ct.c_char.from_buffer(own)))
    highest = known // _GIB * _GIB
    bases = np.array([highest - i * _GIB for i in range(end // _GIB + 2)], np.uint64)
    words, _ = memory.structs(bases + np.uint64(frame * _PAGE), _TRIED)
    right = (words == np.frombuffer(secret, np.uint64)).all(1)
    if right.sum() != 1:
        raise CaptureError(
            "it cannot be found out where the kernel maps memory",
            "run slabtrace census as root, outside of containers",
        )
    return int(bases[right][0])


def _frame(address: int) -> int:
    """The physical page of a page of this process."""
    with PAGEMAP.open("rb") as file:
        file.seek(address // _PAGE * 8)
        return int(struct.unpack("<Q", file.read(8))[0]) & _PFN


class PageKind(IntEnum):
    """What a struct page is of."""

    NOT_READ = 0
    SLAB = 1
    LARGE = 2  # the first page of a large kmalloc
    OTHER = 3


class LargeShape(NamedTuple):
    """The page type of large kmallocs (6.14; c4c5bf4a0d1c); `head`: the bit of PG_head in page.flags."""

    page_type: int
    head: int


def large_shape(btf: Btf) -> LargeShape | None:
    """The running kernel's; None where large kmallocs are pages like others."""
    page_type = btf.enum_value("pagetype", "PGTY_large_kmalloc")
    head = btf.enum_value("pageflags", "PG_head")
    return None if page_type is None or head is None else LargeShape(page_type, head)


class Pages(NamedTuple):
    """What the struct pages say: the slabs, large kmallocs by address and bytes, and the pages of KFENCE.

    `whole`: was there time to read all of them?
    """

    slabs: Slabs
    large: UInt64
    large_bytes: Int64
    kfence: Slabs
    whole: bool


class PageScan:
    """Reads all struct pages.  `vmemmap`: as in slabs/walk.py; `base`: of the direct map."""

    def __init__(
        self, memory: Memory, shape: KernelShape, slab: SlabShape, vmemmap: int, large: LargeShape | None
    ) -> None:
        self._memory, self._shape, self._slab, self._vmemmap = memory, shape, slab, vmemmap
        self._large = large

    def pages(self, ram: list[range], base: int, go_on: Callable[[], bool]) -> Pages:
        """The slabs in these ranges of physical memory, as far as there is time."""
        size = self._shape.sizeof_page
        block = LONGEST // size // 8 * 8 * size  # whole struct pages, and a multiple of 8
        found, large = list[Slabs](), list[UInt64]()
        for begin, end in ((base + each.start, base + each.stop) for each in ram):
            first = -(-begin // _PAGE)
            at = (self._vmemmap + first * size) % _U64
            starts = np.arange(0, (end // _PAGE - first) * size, block)
            lengths = np.minimum(block, (end // _PAGE - first) * size - starts)
            for chunk in self._memory.chunks(np.uint64(at) + starts.astype(np.uint64), lengths):
                self._take(chunk, found, large)
                if not go_on():
                    return self._joined(found, large, False)
        return self._joined(found, large, True)

    def _take(self, chunk: Chunk, found: list[Slabs], large: list[UInt64]) -> None:
        """Add the slabs and large kmallocs of a chunk of struct pages."""
        shape, slab, size = self._shape, self._slab, self._shape.sizeof_page
        if len(chunk.words) * 8 % size:
            return  # struct pages of a size that is no part of a page, and some cannot be read
        rows = chunk.words.reshape(-1, size // 8)
        is_one = np.flatnonzero(is_slab(shape, rows))
        if len(is_one):
            struct, words = chunk.addresses(is_one * (size // 8)), rows[is_one]
            found.append(Slabs(
                struct, self._memory_of(struct), words[:, slab.slab_cache // 8],
                words[:, slab.freelist // 8], words[:, slab.counters // 8],
            ))  # fmt: skip
        heads = np.flatnonzero(self._is_large(rows))
        if len(heads):
            large.append(chunk.addresses(heads * (size // 8)))

    def _is_large(self, rows: UInt64) -> Bools:
        if self._large is None:
            return np.zeros(len(rows), np.bool_)
        found: Bools = rows.view(np.uint8)[:, self._shape.slab_page.offset + 3] == self._large.page_type
        return found

    @property
    def knows_large(self) -> bool:
        """Are large kmallocs marked on this kernel?"""
        return self._large is not None

    def kinds(self, memory: UInt64) -> NDArray[np.int64]:
        """The PageKind of the page that each address of the direct map is in, shape (n,)."""
        size = np.uint64(self._shape.sizeof_page)
        struct = np.uint64(self._vmemmap) + memory // np.uint64(_PAGE) * size
        rows, known = self._memory.structs(struct, int(size))
        kinds = np.full(len(memory), PageKind.OTHER, np.int64)
        kinds[self._is_large(rows)] = PageKind.LARGE
        kinds[is_slab(self._shape, rows)] = PageKind.SLAB
        return np.where(known, kinds, PageKind.NOT_READ)

    def _memory_of(self, struct: UInt64) -> UInt64:
        number = (struct - np.uint64(self._vmemmap)) // np.uint64(self._shape.sizeof_page)
        return number * np.uint64(_PAGE)

    def _joined(self, found: list[Slabs], large: list[UInt64], whole: bool) -> Pages:
        none = np.empty(0, np.uint64)
        slabs = Slabs(*(np.concatenate([none, *columns]) for columns in zip(*found, strict=True))) \
            if found else Slabs(*[none] * 5)  # fmt: skip
        heads, guarded = np.concatenate([none, *large]), slabs.of_kfence
        of_large = self._memory_of(heads), self._orders(heads)
        return Pages(slabs.take(~guarded), *of_large, slabs.take(guarded), whole)

    def _orders(self, heads: UInt64) -> Int64:
        """Bytes of compound pages: the order is in the first byte of the second struct page's flags
        (struct folio, _flags_1); a page without a tail has 4,096."""
        words, known = self._memory.structs(heads, 2 * self._shape.sizeof_page)
        if not len(heads):
            return np.empty(0, np.int64)
        per = self._shape.sizeof_page // 8
        is_head = words[:, 0] >> np.uint64(self._large.head if self._large else 0) & np.uint64(1) == 1
        order = np.where(known & is_head, words[:, per] & np.uint64(0xFF), 0).astype(np.int64)
        return np.where(order <= 10, np.int64(_PAGE) << np.minimum(order, 10), _PAGE)
