# SPDX-License-Identifier: Apache-2.0
"""Which objects of a slab are free, read from the slab allocator's own lists while it works.

A free object is on the freelist of its slab, on the freelist of the CPU that allocates from the slab, or in a
sheaf (shape.py).  Nothing is locked.  A slab that changed while it was read is read again; a slab whose
own count of free objects differs from its lists has no result.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.slabs.sheaves import Sheaves
from slabtrace.capture.slabs.walk import PAGE_SIZE, SlabCache, SlabWalk

_TRIES = 3
_SLAB_BYTES = 64  # of a struct slab, which is no larger than the struct page that it overlays

FreeBits = NDArray[np.bool_]


class SlabState(NamedTuple):
    """A slab's objects: `free[i]` is for the object at `first` + i * `stride`."""

    first: int
    stride: int
    free: FreeBits


class _Slab(NamedTuple):
    """The words of a struct slab that change together."""

    cache: int
    freelist: int
    counters: int

    @property
    def inuse(self) -> int:
        """inuse:16, objects:15, frozen:1 (struct slab in mm/slab.h; struct page before 5.17)."""
        return self.counters & 0xFFFF

    @property
    def objects(self) -> int:
        return self.counters >> 16 & 0x7FFF

    @property
    def frozen(self) -> bool:
        return bool(self.counters >> 31 & 1)


class FreeObjects:
    """Reads the slabs of one cache.  Raises ValueError for a cache whose lists cannot be read."""

    def __init__(self, walk: SlabWalk, shape: SlabShape, percpu: PerCpu, cache: SlabCache) -> None:
        self._walk, self._shape, self.cache = walk, shape, cache
        self._sheaves = Sheaves(walk, shape, percpu, cache)
        offset = walk.u32(cache.address + shape.link)
        self._secret = 0 if shape.random is None else walk.u64(cache.address + shape.random)
        self._cpus: list[int] = []
        if shape.cpu_slab is not None:
            self._cpus = percpu.addresses(walk.u64(cache.address + shape.cpu_slab))
        if offset % 8 or (not self._cpus and shape.cpu_slab is not None):
            raise ValueError(f"the free objects of {cache.name} cannot be read")
        self._link = cache.red_left_pad + offset

    def in_sheaves(self) -> set[int]:
        """Addresses of the free objects in the cache's sheaves."""
        return self._sheaves.objects()

    def state(self, slab: int, memory: int) -> SlabState | None:
        """The state of the slab whose struct is at `slab` and whose first byte is at `memory`.

        None if it is no slab of this cache, or if it changed during each of the tries.
        """
        for _ in range(_TRIES):
            before, of_cpu = self._read(slab), self._of_cpu(slab)
            if before is None or before.cache != self.cache.address:
                return None
            free = self._free(before, of_cpu, memory)
            if free is not None and self._read(slab) == before and self._of_cpu(slab) == of_cpu:
                return SlabState(memory + self.cache.red_left_pad, self.cache.size, free)
        return None

    def _read(self, slab: int) -> _Slab | None:
        raw, shape = self._walk.read(slab, _SLAB_BYTES), self._shape
        if raw is None:
            return None
        places = (shape.slab_cache, shape.freelist, shape.counters)
        return _Slab(*(int(struct.unpack_from("<Q", raw, place)[0]) for place in places))

    def _of_cpu(self, slab: int) -> tuple[int, int] | None:
        """(freelist, transaction id) of the CPU that allocates from the slab; None if none does."""
        shape = self._shape
        length = 8 + max(shape.cpu_freelist, shape.cpu_tid, shape.cpu_current)
        for address in self._cpus:
            raw = self._walk.read(address, length) or bytes(length)
            if struct.unpack_from("<Q", raw, shape.cpu_current)[0] == slab:
                freelist, tid = (
                    struct.unpack_from("<Q", raw, at)[0] for at in (shape.cpu_freelist, shape.cpu_tid)
                )
                return int(freelist), int(tid)
        return None

    def _free(self, slab: _Slab, of_cpu: tuple[int, int] | None, memory: int) -> FreeBits | None:
        """Walk the freelists.  None if the slab's list is not as long as its counters say.

        The counters have objects on the CPU's freelist as in use; all other free objects are on the slab's
        list.
        """
        following = self._links(slab.objects, memory)
        if following is None:
            return None
        first, stride = memory + self.cache.red_left_pad, self.cache.size
        free = np.zeros(slab.objects, np.bool_)
        if _follow(slab.freelist, following, first, stride, free) != slab.objects - slab.inuse:
            return None
        if of_cpu is not None and _follow(of_cpu[0], following, first, stride, free) is None:
            return None
        return free

    def _links(self, objects: int, memory: int) -> list[int] | None:
        """For each object the word in which a free one has the address of the next, decoded.

        With CONFIG_SLAB_FREELIST_HARDENED it is stored as address ^ kmem_cache.random ^ swab(its place)
        (freelist_ptr_encode in mm/slub.c; since 5.7, 1ad53d9fa3f6).
        """
        stride = self.cache.size
        raw = self._walk.read_long(memory, -(-(objects * stride) // PAGE_SIZE) * PAGE_SIZE)
        if not raw:
            return None
        places = np.arange(objects, dtype=np.uint64) * np.uint64(stride) + np.uint64(self._link)
        words = np.frombuffer(raw, np.uint64)[(places // np.uint64(8)).astype(np.intp)]
        if self._shape.random is not None:
            words = words ^ np.uint64(self._secret) ^ (places + np.uint64(memory)).byteswap()
        return [int(word) for word in words]


def _follow(pointer: int, following: list[int], first: int, stride: int, free: FreeBits) -> int | None:
    """Mark the objects of a freelist in `free`.  Returns how many; None if a link leads to no free object."""
    count = 0
    while pointer:
        index, rest = divmod(pointer - first, stride)
        if rest or not 0 <= index < len(free) or free[index]:
            return None
        free[index] = True
        count += 1
        pointer = following[index]
    return count
