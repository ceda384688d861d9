# SPDX-License-Identifier: Apache-2.0
"""Which objects of many slabs are in use, read from the slab allocator's own lists while it works.

A free object is on the freelist of its slab, on the freelist of the CPU that allocates from the slab, or in a
sheaf (slabs/shape.py).  Nothing is locked, and there is no Python for a slab.

A slab that changed while it was read (slab_reading.py), or whose own count of free objects differs from its
lists, is tried again, by itself, and after eight tries left out.

Example: all lists are followed at the same time.

    slab      list of free objects      step 1    step 2    step 3
    A         2 → 0                     2         0         (ends)
    B         1                         1         (ends)
    C         3 → 9 (no object)         3         left out: it changed while it was read
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from slabtrace.capture.inspecting.memory import MOST_BYTES, Bools, Memory
from slabtrace.capture.inspecting.slab_reading import Reading, SlabReader
from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.places import Slabs
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.slabs.sheaves import Sheaves
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.capture.slabs.walk import SlabCache, SlabWalk
from slabtrace.trace.format.batch import Int64, UInt64

_TRIES = 8


class CacheLists(NamedTuple):
    """Where the lists of a cache are that are not its slabs': see shape.py.

    `secret`: of encoded links; `cpus`: addresses of each CPU's kmem_cache_cpu; `sheaves()`: the addresses
    of the free objects in sheaves, ascending.
    """

    link: int
    secret: int | None
    cpus: UInt64
    sheaves: Callable[[], UInt64]


class Batch(NamedTuple):
    """Some slabs of a cache: their words, shape (n, words of a slab), and which objects are in use.

    `in_use` has shape (n, objects of a slab); a slab with fewer objects has False at the end.  `known`: of
    which slabs that is known, shape (n,).
    """

    slabs: Slabs
    words: UInt64
    in_use: Bools
    known: Bools
    pad: int
    stride: int

    def objects(self) -> Objects:
        """The objects in use."""
        row, index = np.nonzero(self.in_use & self.known[:, None])
        count = self.in_use.shape[1]
        begin, width = self.pad // 8, self.stride // 8
        matrix = self.words[:, begin : begin + count * width].reshape(len(self.words), count, width)
        at = self.slabs.memory[row] + (self.pad + index * self.stride).astype(np.uint64)
        return Objects(at, matrix[row, index])


def reader_of(walk: SlabWalk, memory: Memory, shape: SlabShape, percpu: PerCpu, cache: SlabCache) -> InUse:
    """Reads the slabs of a cache.  Raises ValueError for one whose lists cannot be read."""
    sheaves = Sheaves(walk, memory, shape, percpu, cache)
    cpus: list[int] = []
    if shape.cpu_slab is not None:
        cpus = percpu.addresses(walk.u64(cache.address + shape.cpu_slab))
    offset = walk.u32(cache.address + shape.link)
    if offset % 8 or (shape.cpu_slab is not None and not cpus):
        raise ValueError(f"the free objects of {cache.name} cannot be read")
    secret = None if shape.random is None else walk.u64(cache.address + shape.random)
    lists = CacheLists(cache.red_left_pad + offset, secret, np.array(cpus, np.uint64), sheaves.objects)
    return InUse(memory, shape, cache, lists)


class InUse:
    """Reads the slabs of one cache."""

    def __init__(self, memory: Memory, shape: SlabShape, cache: SlabCache, lists: CacheLists) -> None:
        self.cache, self._lists = cache, lists
        self._reader = SlabReader(memory, shape, lists.cpus)

    def batches(self, slabs: Slabs, go_on: Callable[[], bool], lists_only: bool = False) -> Iterator[Batch]:
        """The slabs, some at a time; a batch is valid until the next one.  Ends when there is no time.

        `lists_only`: the words are not needed, and those of slabs without a free object are not read.
        """
        stride, most = self.cache.size, int(slabs.objects.max(initial=0))
        if not most or stride % 8:
            return
        length = -(-(self.cache.red_left_pad + most * stride) // 8) * 8
        each = max(1, MOST_BYTES // length)
        for first in range(0, len(slabs.struct), each):
            if not go_on():
                return
            yield self._tried(slabs.take(slice(first, first + each)), length, most, lists_only)

    def _tried(self, slabs: Slabs, length: int, most: int, lists_only: bool) -> Batch:
        sheaves = self._lists.sheaves()
        batch = self._judged(self._reader.read(slabs, length, lists_only), most, sheaves)
        mine = batch.slabs.cache == np.uint64(self.cache.address)  # the others were given back
        for _ in range(_TRIES - 1):
            for row in np.flatnonzero(mine & ~batch.known).tolist():
                again = self._once_more(slabs.take(slice(row, row + 1)), length, most)
                batch.words[row], batch.in_use[row] = again.words[0], again.in_use[0]
                batch.known[row] = again.known[0]
        return batch

    def _once_more(self, slab: Slabs, length: int, most: int) -> Batch:
        sheaves = self._lists.sheaves()
        return self._judged(self._reader.read_at_once(slab, length), most, sheaves)

    def _judged(self, reading: Reading, most: int, sheaves: UInt64) -> Batch:
        """Which objects are in use; `sheaves`: what was in sheaves before the slabs were read."""
        slabs, words = reading.before, reading.words
        free, good = self._free(slabs, reading.cpus_before, words)
        in_sheaves = np.union1d(sheaves, self._lists.sheaves())
        if len(in_sheaves):
            free |= np.isin(self._addresses(slabs, most), in_sheaves)
        exists = np.arange(most) < slabs.objects[:, None]
        known = reading.unchanged() & good & (slabs.cache == np.uint64(self.cache.address))
        return Batch(slabs, words, ~free & exists, known, self.cache.red_left_pad, self.cache.size)

    def _free(self, heads: Slabs, of_cpu: UInt64, words: UInt64) -> tuple[Bools, Bools]:
        """Which objects the lists of the slabs and CPUs have, and of which slabs the lists are consistent."""
        objects = heads.objects
        most = int(max(objects.max(initial=0), 1))
        stride, pad = self.cache.size, self.cache.red_left_pad
        room = (words.shape[1] * 8 - pad) // stride
        most = min(most, room)
        good = (objects <= room) & (objects >= heads.inuse)
        free = np.zeros((len(objects), room), np.bool_)
        following = self._links(heads, words, room)
        first = heads.memory + np.uint64(pad)
        count = _follow(heads.freelist, following, first, stride, objects, free)
        good &= count == objects - heads.inuse
        current = np.zeros(len(objects), np.uint64)
        for slab, freelist in of_cpu[:, :2].tolist():
            current[heads.struct == np.uint64(slab)] = freelist
        good &= _follow(current, following, first, stride, objects, free) >= 0
        return free, good

    def _links(self, heads: Slabs, words: UInt64, room: int) -> UInt64:
        """For each object the word in which a free one has the address of the next, decoded, shape (n, room).

        With CONFIG_SLAB_FREELIST_HARDENED it is stored as address ^ kmem_cache.random ^ swab(its place)
        (freelist_ptr_encode in mm/slub.c; since 5.7, 1ad53d9fa3f6).
        """
        place = (self._lists.link + np.arange(room) * self.cache.size).astype(np.int64)
        raw = words[:, place // 8]
        if self._lists.secret is None:
            return raw
        at = heads.memory[:, None] + place.astype(np.uint64)
        links: UInt64 = raw ^ np.uint64(self._lists.secret) ^ at.byteswap()
        return links

    def _addresses(self, slabs: Slabs, most: int) -> UInt64:
        offset = self.cache.red_left_pad + np.arange(most) * self.cache.size
        return slabs.memory[:, None] + offset.astype(np.uint64)


def _follow(
    pointer: UInt64, following: UInt64, first: UInt64, stride: int, objects: Int64, free: Bools
) -> Int64:
    """Mark the objects of a freelist of each slab in `free`.  Returns how many; -1: a link led astray."""
    count = np.zeros(len(pointer), np.int64)
    rows = np.flatnonzero(pointer)
    now = pointer[rows]
    while len(rows):
        offset = now - first[rows]
        index, rest = offset // np.uint64(stride), offset % np.uint64(stride)
        right = (rest == 0) & (index < objects[rows].astype(np.uint64)) & (index < np.uint64(free.shape[1]))
        at = np.where(right, index, 0).astype(np.intp)
        right &= ~free[rows, at]
        count[rows[~right]] = -1
        rows, at = rows[right], at[right]
        free[rows, at] = True
        count[rows] += 1
        now = following[rows, at]
        rows, now = rows[now != 0], now[now != 0]
    return count
