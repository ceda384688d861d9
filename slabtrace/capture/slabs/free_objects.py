# SPDX-License-Identifier: Apache-2.0
"""Which objects of slabs are free, read from the slab allocator's own lists while it works.

A free object is on the freelist of its slab, on the freelist of the CPU that allocates from the slab, or in a
sheaf (shape.py).  Nothing is locked.  The struct slabs of many slabs are read together, before and after
their lists, and so is what each CPU has.  A slab that changed meanwhile is read again, alone; a slab whose
own count of free objects differs from its lists has no result.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.places import read_structs
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.slabs.sheaves import Sheaves
from slabtrace.capture.slabs.walk import PAGE_SIZE, SlabCache, SlabWalk
from slabtrace.trace.format.batch import UInt64

_TRIES = 3

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


class _OfCpu(NamedTuple):
    """What a CPU has of the slab that it allocates from; `place`: the address of its kmem_cache_cpu."""

    place: int
    freelist: int
    tid: int


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
        self._places: dict[int, UInt64] = {}  # by number of objects

    def in_sheaves(self) -> set[int]:
        """Addresses of the free objects in the cache's sheaves."""
        return self._sheaves.objects()

    def state(self, slab: int, memory: int) -> SlabState | None:
        """The state of one slab, as `states`."""
        return self.states(np.array([slab], np.uint64), np.array([memory], np.uint64))[0]

    def states(self, slabs: UInt64, memory: UInt64) -> list[SlabState | None]:
        """The states of slabs whose structs are at `slabs` (ascending), whose first bytes are at `memory`.

        None for one that is no slab of this cache, or that changed during each of the tries.
        """
        states, changed = self._try(slabs, memory)
        for index in changed:
            for _ in range(_TRIES - 1):
                (states[index],), again = self._try(slabs[index : index + 1], memory[index : index + 1])
                if not again:
                    break
        return states

    def _try(self, slabs: UInt64, memory: UInt64) -> tuple[list[SlabState | None], list[int]]:
        """Read slabs once.  Returns their states, and the numbers of those that changed meanwhile.

        A CPU that begins or ends to allocate from a slab changes the slab's words.  So what the CPUs have is
        read between the two readings of these words; afterwards only of the CPUs with one of these slabs.
        """
        before, of_cpus = self._words(slabs), self._of_cpus(self._cpus)
        ours = before[:, 0] == np.uint64(self.cache.address)
        addresses, of_cpu = memory.tolist(), [of_cpus.get(slab) for slab in slabs.tolist()]
        free: list[FreeBits | None] = [None] * len(slabs)
        for index in np.flatnonzero(ours).tolist():
            free[index] = self._free(_Slab(*before[index].tolist()), of_cpu[index], addresses[index])
        same = (self._words(slabs) == before).all(1)
        now = self._of_cpus([each.place for each in of_cpu if each])
        if of_cpus:
            stays = [now.get(slab) == each for slab, each in zip(slabs.tolist(), of_cpu, strict=True)]
            same &= np.array(stays, np.bool_)
        pad, stride = self.cache.red_left_pad, self.cache.size
        states = [
            SlabState(address + pad, stride, bits) if bits is not None and unchanged else None
            for address, bits, unchanged in zip(addresses, free, same.tolist(), strict=True)
        ]
        return states, [index for index in np.flatnonzero(ours).tolist() if states[index] is None]

    def _words(self, slabs: UInt64) -> UInt64:
        """The words of `_Slab` of each struct slab, shape (n, 3); 0 where they cannot be read."""
        shape = self._shape
        places = [shape.slab_cache, shape.freelist, shape.counters]
        words, _ = read_structs(self._walk, slabs, max(places) + 8)
        return words[:, np.array(places) // 8]

    def _of_cpus(self, places: Sequence[int]) -> dict[int, _OfCpu]:
        """For each struct slab that one of these CPUs allocates from, what the CPU has of it."""
        shape, found = self._shape, dict[int, _OfCpu]()
        length = 8 + max(shape.cpu_freelist, shape.cpu_tid, shape.cpu_current)
        for place in places:
            raw = self._walk.read(place, length) or bytes(length)
            freelist, tid, slab = (
                int(struct.unpack_from("<Q", raw, at)[0])
                for at in (shape.cpu_freelist, shape.cpu_tid, shape.cpu_current)
            )
            found[slab] = _OfCpu(place, freelist, tid)
        return found

    def _free(self, slab: _Slab, of_cpu: _OfCpu | None, memory: int) -> FreeBits | None:
        """Walk the freelists.  None if the slab's list is not as long as its counters say.

        The counters have objects on the CPU's freelist as in use; all other free objects are on the slab's
        list.  A full slab has no lists, and its objects need not be read.
        """
        objects, free_by_count = slab.objects, slab.objects - slab.inuse
        if not slab.freelist and of_cpu is None:
            return np.zeros(objects, np.bool_) if objects and not free_by_count else None
        following = self._links(objects, memory) if objects else []
        if not following:
            return None
        free, first, stride = bytearray(objects), memory + self.cache.red_left_pad, self.cache.size
        if _follow(slab.freelist, following, first, stride, free) != free_by_count:
            return None
        if of_cpu is not None and _follow(of_cpu.freelist, following, first, stride, free) is None:
            return None
        return np.frombuffer(free, np.bool_)

    def _links(self, objects: int, memory: int) -> list[int]:
        """For each object the word in which a free one has the address of the next, decoded.

        With CONFIG_SLAB_FREELIST_HARDENED it is stored as address ^ kmem_cache.random ^ swab(its place)
        (freelist_ptr_encode in mm/slub.c; since 5.7, 1ad53d9fa3f6).  Empty if they cannot be read.
        """
        stride = self.cache.size
        raw = self._walk.read_long(memory, -(-(objects * stride) // PAGE_SIZE) * PAGE_SIZE)
        if not raw:
            return []
        if objects not in self._places:
            index = np.arange(objects, dtype=np.uint64)
            self._places[objects] = index * np.uint64(stride) + np.uint64(self._link)
        places = self._places[objects]
        words: UInt64 = np.frombuffer(raw, np.uint64)[places // np.uint64(8)]
        if self._shape.random is not None:
            words = words ^ np.uint64(self._secret) ^ (places + np.uint64(memory)).byteswap()
        links: list[int] = words.tolist()
        return links


def _follow(pointer: int, following: list[int], first: int, stride: int, free: bytearray) -> int | None:
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
