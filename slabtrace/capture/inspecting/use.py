# SPDX-License-Identifier: Apache-2.0
"""Which of some objects are in use, whatever caches they are of: in use, free, or not known.

Not known is what could not be read: a slab that changed at each try, a cache whose lists cannot be read,
and what is in no slab (objects of KFENCE; before 6.14 large kmallocs, which are pages like others).

    read of the object's slab                                   state
    its lists have the object                                   FREE
    its lists are consistent, and do not have it                USED
    it changed all the while; but it is of another cache now    FREE
    it changed all the while                                    UNREAD
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.inspecting.in_use import InUse
from slabtrace.capture.inspecting.memory import Memory
from slabtrace.capture.inspecting.where import Where
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.format.batch import UInt64

UNREAD, FREE, USED = -1, 0, 1
_PAUSES_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.032)
States = NDArray[np.int8]
Outside = Callable[[UInt64], States]


class Part(NamedTuple):
    """Some of the objects that were asked for, all of one cache.

    `which`, shape (k,): their numbers; `state`, shape (k,); `objects`: those in use, with their words.
    """

    cache: SlabCache
    which: NDArray[np.intp]
    state: States
    objects: Objects


def not_known(addresses: UInt64) -> States:
    """Nothing is known of addresses outside of slabs."""
    return np.full(len(addresses), UNREAD, np.int8)


class SlabUse:
    """Reads the slabs of objects.  `outside(addresses)`: the states of those that are in no slab."""

    def __init__(
        self,
        memory: Memory,
        where: Where,
        caches: Mapping[int, SlabCache],
        in_use: Callable[[SlabCache], InUse],
        cache_place: int,
        outside: Outside = not_known,
    ) -> None:
        """`in_use` raises ValueError for a cache whose lists cannot be read; `cache_place`: the offset of
        the address of its kmem_cache in a struct slab."""
        self._memory, self._where, self._caches, self._in_use = memory, where, caches, in_use
        self._cache_place, self._outside = np.uint64(cache_place), outside

    def states(self, objects: UInt64) -> States:
        """The state of each object, by the address where it begins, shape (n,)."""
        states = not_known(objects)
        away = np.flatnonzero(self._where.slab(objects) < 0)
        if len(away):
            states[away] = self._outside(objects[away])
        for part in self.parts(objects):
            states[part.which] = part.state
        return states

    def states_in_time(self, objects: UInt64) -> States:
        """As `states`, but a slab that changes all the while is read again for a tenth of a second.

        It changes while a task allocates from it; a few ms later another task has the CPU.
        """
        states = self.states(objects)
        for pause in _PAUSES_S:
            left = np.flatnonzero((states == UNREAD) & (self._where.slab(objects) >= 0))
            if not len(left):
                break
            time.sleep(pause)
            states[left] = self.states(objects[left])
        return states

    def parts(self, objects: UInt64) -> Iterator[Part]:
        """Those of the objects that are in slabs, cache by cache; objects in no slab are left out."""
        slabs = self._where.slabs
        rows = self._where.slab(objects)
        for address in np.unique(slabs.cache[rows[rows >= 0]]).tolist():
            cache = self._caches.get(address)
            if cache is not None:
                mine = np.flatnonzero((rows >= 0) & (slabs.cache[rows] == np.uint64(address)))
                yield self._part(cache, mine, rows[mine], objects[mine])

    def _part(
        self, cache: SlabCache, which: NDArray[np.intp], rows: NDArray[np.intp], objects: UInt64
    ) -> Part:
        slabs = self._where.slabs
        none = np.empty((0, cache.size // 8), np.uint64)
        found, state = [Objects(np.empty(0, np.uint64), none)], not_known(objects)
        try:
            reader = self._in_use(cache)
        except ValueError:
            return Part(cache, which, state, found[0])
        for batch in reader.batches(slabs.take(np.unique(rows)), lambda: True):
            some = batch.objects()
            found.append(some.take(np.isin(some.address, objects)))
            state[np.isin(slabs.memory[rows], batch.slabs.memory[batch.known])] = FREE
        used = Objects(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
        state[np.isin(objects, used.address)] = USED
        state[(state == UNREAD) & self._of_others(slabs.struct[rows], cache)] = FREE
        return Part(cache, which, state, used)

    def _of_others(self, struct: UInt64, cache: SlabCache) -> NDArray[np.bool_]:
        """Which of the slabs are no slabs of this cache any more."""
        words, known = self._memory.structs(struct + self._cache_place, 8)
        others: NDArray[np.bool_] = known & (words[:, 0] != np.uint64(cache.address))
        return others
