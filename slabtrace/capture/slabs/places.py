# SPDX-License-Identifier: Apache-2.0
"""Where the slabs are: struct pages read in blocks, and decoded with NumPy.

It costs the same to read one struct page or 64 of them, so those that are near each other are read together.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.kernel.features import KernelShape
from slabtrace.trace.format.batch import UInt64

PAGE_SIZE = np.uint64(4096)
_BLOCK = 4096  # 64 struct pages of 64 bytes
_NEGATIVE = np.uint64(0xFFFF_FFFF_0000_0000)  # compound_info that is a mask
_ONE = np.uint64(1)


class Reader(Protocol):
    """Reads kernel memory, as SlabWalk does."""

    def read(self, address: int, length: int) -> bytes | None:
        """`length` bytes at `address`; None where nothing can be read."""
        ...


class SlabPlaces(NamedTuple):
    """n slabs: the addresses of their struct slab (ascending), first byte and kmem_cache, shape (n,) each."""

    struct: UInt64
    memory: UInt64
    cache: UInt64

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> SlabPlaces:
        """Some of the slabs."""
        return SlabPlaces(*(column[chosen] for column in self))


def read_structs(walk: Reader, address: UInt64, size: int) -> tuple[UInt64, NDArray[np.bool_]]:
    """The words of a struct at each address (ascending, shape (n,)), shape (n, size // 8).

    `size` (in bytes) and the addresses are multiples of 8.  Also returns which could be read, shape (n,);
    the words of the others are 0.
    """
    words = np.zeros((len(address), size // 8), np.uint64)
    known = np.zeros(len(address), np.bool_)
    last = np.searchsorted(address, address + np.uint64(_BLOCK - size), "right").tolist()
    begin = 0
    while begin < len(address):
        end = last[begin]
        known[begin:end] = _read_block(walk, address[begin:end], words[begin:end])
        begin = end
    return words, known


def _read_block(walk: Reader, address: UInt64, words: UInt64) -> bool | list[bool]:
    """Fill in the words of structs that are near each other.  Returns which could be read."""
    first, size = int(address[0]), 8 * words.shape[1]
    raw = walk.read(first, int(address[-1]) - first + size)
    if raw is None:  # perhaps memory between them cannot be read
        alone = range(len(address)) if len(address) > 1 else range(0)
        return [bool(_read_block(walk, address[i : i + 1], words[i : i + 1])) for i in alone] or False
    if len(address) == 1:
        words[0] = np.frombuffer(raw, np.uint64)
        return True
    begin = ((address - address[0]) // np.uint64(8)).astype(np.intp)
    words[:] = np.frombuffer(raw, np.uint64)[begin[:, None] + np.arange(words.shape[1])]
    return True


def find_slabs(walk: Reader, shape: KernelShape, vmemmap: int, pages: UInt64) -> SlabPlaces:
    """The slabs on `pages` (addresses, shape (n,)), each once.  Pages that are of no slab are left out.

    It decodes many pages as SlabWalk.slab_at does one (and bpf/cache_of.h).
    """
    size, base = np.uint64(shape.sizeof_page), np.uint64(vmemmap)
    page = np.unique(base + pages // PAGE_SIZE * size)
    words, known = read_structs(walk, page, shape.sizeof_page)
    info = words[:, shape.compound_head // 8]
    is_tail = info & _ONE != 0
    heads = np.unique(_heads(shape, page[is_tail], info[is_tail]))
    heads = heads[~np.isin(heads, page[~is_tail])]
    of_heads, heads_known = read_structs(walk, heads, shape.sizeof_page)
    struct = np.concatenate([page[~is_tail], heads])
    words = np.concatenate([words[~is_tail], of_heads])
    known = np.concatenate([known[~is_tail], heads_known]) & _is_slab(shape, words)
    places = SlabPlaces(struct, (struct - base) // size * PAGE_SIZE, words[:, shape.slab_cache // 8])
    return places.take(np.flatnonzero(known)[np.argsort(struct[known])])


def _heads(shape: KernelShape, page: UInt64, info: UInt64) -> UInt64:
    """The struct page of the first page of a compound page, for tail pages with this compound_head."""
    head = info - _ONE
    if shape.compound_masked:
        return np.where(info >= _NEGATIVE, page & info, head)
    return head


def _is_slab(shape: KernelShape, words: UInt64) -> NDArray[np.bool_]:
    test = shape.slab_page
    half = words[:, test.offset // 8] >> np.uint64(8 * (test.offset % 8))
    is_slab: NDArray[np.bool_] = half & np.uint64(test.mask & 0xFFFF_FFFF) == np.uint64(test.value)
    return is_slab
