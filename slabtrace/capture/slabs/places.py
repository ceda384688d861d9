# SPDX-License-Identifier: Apache-2.0
"""Where the slabs are: struct pages, many in one system call, decoded with NumPy."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.kernel.features import KernelShape
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.trace.format.batch import Int64, UInt64

PAGE_SIZE = np.uint64(4096)
_NEGATIVE = np.uint64(0xFFFF_FFFF_0000_0000)  # compound_info that is a mask
_ONE = np.uint64(1)


class Structs(Protocol):
    """Reads kernel memory, as inspecting.memory.KernelMemory does."""

    def structs(self, address: UInt64, size: int) -> tuple[UInt64, NDArray[np.bool_]]:
        """The words of a struct of `size` bytes (a multiple of 8) at each address, shape (n, size // 8).

        Also which could be read, shape (n,); the words of the others are 0.
        """
        ...


class Slabs(NamedTuple):
    """n slabs, addresses of struct slab, first byte and kmem_cache, and two words."""

    struct: UInt64
    memory: UInt64
    cache: UInt64
    freelist: UInt64
    counters: UInt64

    def take(self, chosen: NDArray[np.generic] | slice) -> Slabs:
        """Some of the slabs."""
        return Slabs(*(column[chosen] for column in self))

    @property
    def inuse(self) -> Int64:
        """Objects that are not on the slab's own list (struct slab, mm/slab.h), shape (n,)."""
        return (self.counters & np.uint64(0xFFFF)).astype(np.int64)

    @property
    def objects(self) -> Int64:
        """Objects of each slab, shape (n,)."""
        return (self.counters >> np.uint64(16) & np.uint64(0x7FFF)).astype(np.int64)

    @property
    def of_kfence(self) -> NDArray[np.bool_]:
        """Which are pages of KFENCE, shape (n,): they have one object, which is on no list and not in use
        (kfence_guarded_alloc, mm/kfence/core.c), and begins anywhere in the page.  No other slab is so."""
        found: NDArray[np.bool_] = (self.objects == 1) & (self.inuse == 0) & (self.freelist == 0)
        return found


def find_slabs(memory: Structs, shape: KernelShape, slab: SlabShape, vmemmap: int, pages: UInt64) -> Slabs:
    """The slabs on `pages` (addresses, shape (n,)), each once, ascending.  Other pages are left out.

    It decodes many pages as SlabWalk.slab_at does one (and bpf/cache_of.h).
    """
    size, base = np.uint64(shape.sizeof_page), np.uint64(vmemmap)
    page = np.unique(base + pages // PAGE_SIZE * size)
    words, known = memory.structs(page, shape.sizeof_page)
    info = words[:, shape.compound_head // 8]
    is_tail = info & _ONE != 0
    heads = np.unique(_heads(shape, page[is_tail], info[is_tail]))
    heads = heads[~np.isin(heads, page[~is_tail])]
    of_heads, heads_known = memory.structs(heads, shape.sizeof_page)
    struct = np.concatenate([page[~is_tail], heads])
    words = np.concatenate([words[~is_tail], of_heads])
    known = np.concatenate([known[~is_tail], heads_known]) & is_slab(shape, words)
    columns = (words[:, place // 8] for place in (slab.slab_cache, slab.freelist, slab.counters))
    slabs = Slabs(struct, (struct - base) // size * PAGE_SIZE, *columns)
    return slabs.take(np.flatnonzero(known)[np.argsort(struct[known])])


def _heads(shape: KernelShape, page: UInt64, info: UInt64) -> UInt64:
    """The struct page of the first page of a compound page, for tail pages with this compound_head."""
    head = info - _ONE
    if shape.compound_masked:
        return np.where(info >= _NEGATIVE, page & info, head)
    return head


def is_slab(shape: KernelShape, words: UInt64) -> NDArray[np.bool_]:
    """Which struct pages, given by their words, are those of slabs."""
    test = shape.slab_page
    half = words.view(np.uint32)[:, test.offset // 4]
    found: NDArray[np.bool_] = half & np.uint32(test.mask & 0xFFFF_FFFF) == np.uint32(test.value)
    return found
