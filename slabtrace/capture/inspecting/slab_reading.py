# SPDX-License-Identifier: Apache-2.0
"""The words by which it is known which objects of some slabs are free, read so that a change shows.

What may change is read before and after the slabs' memory.  `read` does that for many slabs, with a system
call for each kind of words: some 100 us pass, in which a busy CPU changes the slab that it allocates from.
`read_at_once` reads everything of one slab in one run of the program, which takes some microseconds:

    words of the slab   the CPUs' words   the slab's memory   the CPUs' words   words of the slab
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slabtrace.capture.inspecting.memory import LONGEST, Bools, Memory
from slabtrace.capture.slabs.places import Slabs
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.trace.format.batch import UInt64


class Reading(NamedTuple):
    """Of n slabs: their words before and after the memory; the memory, shape (n, words of a slab), and of
    which it was read; of each CPU the slab that it allocates from, its freelist and tid, shape (CPUs, 3).
    """

    before: Slabs
    cpus_before: UInt64
    words: UInt64
    readable: Bools
    cpus_after: UInt64
    after: Slabs

    def unchanged(self) -> Bools:
        """Which slabs did not change while they were read, shape (n,)."""
        before, after = self.before, self.after
        same: Bools = (before.counters == after.counters) & (before.freelist == after.freelist)
        same &= before.cache == after.cache
        moved = ~(self.cpus_before == self.cpus_after).all(1)
        for cpus in (self.cpus_before, self.cpus_after):
            same &= ~np.isin(before.struct, cpus[moved, 0])
        return same & self.readable


class SlabReader:
    """Reads slabs of one cache; `cpus`: addresses of each CPU's kmem_cache_cpu of it."""

    def __init__(self, memory: Memory, shape: SlabShape, cpus: UInt64) -> None:
        self._memory, self._shape, self._cpus = memory, shape, cpus
        places = [shape.slab_cache, shape.freelist, shape.counters]
        self._first, self._size = min(places), max(places) + 8 - min(places)
        self._cpu_size = 8 + max(shape.cpu_freelist, shape.cpu_tid, shape.cpu_current)

    def read(self, slabs: Slabs, length: int, lists_only: bool = False) -> Reading:
        """Read slabs of `length` bytes.

        `lists_only`: the memory of slabs that have no list of free objects is not read; its words are 0.
        """
        before, cpus_before = self._heads(slabs), self._of_cpus()
        if lists_only:
            wanted = (before.freelist != 0) | np.isin(before.struct, cpus_before[:, 0])
            words = np.zeros((len(wanted), length // 8), np.uint64)
            readable = np.ones(len(wanted), np.bool_)
            words[wanted], readable[wanted] = self._slab_words(slabs.take(wanted), length)
        else:
            words, readable = self._slab_words(slabs, length)
        return Reading(before, cpus_before, words, readable, self._of_cpus(), self._heads(slabs))

    def read_at_once(self, slab: Slabs, length: int) -> Reading:
        """Read one slab; as `read` does it where that is too much for one run of the program."""
        head, cpus = slab.struct + np.uint64(self._first), self._cpus
        sizes = np.repeat([self._size, self._cpu_size], [1, len(cpus)])
        begin = np.concatenate((head, cpus, slab.memory, cpus[::-1], head))
        raw = self._memory.at_once(begin, np.concatenate((sizes, [length], sizes[::-1])))
        if raw is None:
            return self.read(slab, length)
        outer, inner = self._size // 8, int(sizes.sum()) // 8
        heads = [self._parts(slab, words[None, :]) for words in (raw[:outer], raw[-outer:])]
        before, after = (
            self._cpu_parts(words.reshape(len(cpus), -1)) for words in (raw[outer:inner], raw[-inner:-outer])
        )
        return Reading(heads[0], before, raw[None, inner:-inner], np.array([True]), after[::-1], heads[1])

    def _slab_words(self, slabs: Slabs, length: int) -> tuple[UInt64, Bools]:
        """The memory of the slabs; one of less than a page is read in one request, others in pieces."""
        if length <= LONGEST:
            return self._memory.structs(slabs.memory, length)
        words = np.empty((len(slabs.struct), length // 8), np.uint64)
        flat, at = words.reshape(-1), 0
        for chunk in self._memory.chunks(slabs.memory, np.full(len(slabs.struct), length, np.int64)):
            many = min(len(chunk.words), len(flat) - at)
            flat[at : at + many] = chunk.words[:many]
            at += many
        return words, np.full(len(slabs.struct), at == len(flat), np.bool_)

    def _heads(self, slabs: Slabs) -> Slabs:
        """The words of the struct slabs as they are now."""
        words, known = self._memory.structs(slabs.struct + np.uint64(self._first), self._size)
        return self._parts(slabs, np.where(known[:, None], words, 0))

    def _parts(self, slabs: Slabs, words: UInt64) -> Slabs:
        shape = self._shape
        places = (shape.slab_cache, shape.freelist, shape.counters)
        cache, freelist, counters = (words[:, (place - self._first) // 8] for place in places)
        return Slabs(slabs.struct, slabs.memory, cache, freelist, counters)

    def _of_cpus(self) -> UInt64:
        words, _ = self._memory.structs(self._cpus, self._cpu_size)
        return self._cpu_parts(words)

    def _cpu_parts(self, words: UInt64) -> UInt64:
        shape = self._shape
        return words[:, [shape.cpu_current // 8, shape.cpu_freelist // 8, shape.cpu_tid // 8]]
