# SPDX-License-Identifier: Apache-2.0
"""The free objects in a cache's sheaves: arrays of free objects, of a CPU or, if full, in a node's barn.

However many CPUs there are, it takes four system calls, and one more for each full sheaf.

Nothing is locked: a pointer may lead to what is no sheaf of the cache any more, and behind its last free
object a sheaf still has the addresses of earlier ones, which are in use again.  So a sheaf counts only if it
names the cache before and after it is read, and no more of its objects than it has at both times.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.places import Structs
from slabtrace.capture.slabs.shape import SheafShape, SlabShape
from slabtrace.capture.slabs.walk import SlabCache, SlabWalk
from slabtrace.trace.format.batch import UInt64

_MOST_SHEAVES, _MOST_OBJECTS = 64, 512  # bounds, because a list may change while it is read
_NONE = np.empty(0, np.uint64)


class Sheaves:
    """The sheaves of one cache, which may have none.  Raises ValueError if they cannot be found."""

    def __init__(
        self, walk: SlabWalk, memory: Structs, shape: SlabShape, percpu: PerCpu, cache: SlabCache
    ) -> None:
        self._walk, self._memory, self._shape = walk, memory, shape.sheaves
        self._cache, self._of_cpus = np.uint64(cache.address), _NONE
        self._barns: list[int] = []
        pointer = walk.u64(cache.address + shape.sheaves.percpu) if shape.sheaves else 0
        if shape.sheaves and pointer:
            self._of_cpus = np.array(percpu.addresses(pointer), np.uint64)
            found = (self._barn(shape, shape.sheaves, cache, node) for node in range(shape.node_count))
            self._barns = [barn for barn in found if barn]
            if not len(self._of_cpus):
                raise ValueError(f"the sheaves of {cache.name} cannot be found")

    def _barn(self, shape: SlabShape, sheaves: SheafShape, cache: SlabCache, node: int) -> int:
        """The address of a node's barn, 0 if it has none."""
        of_node = cache.address + shape.nodes + node * shape.node_stride
        if sheaves.barn_in_node:
            of_node = self._walk.u64(of_node)
        return self._walk.u64(of_node + sheaves.barn) if of_node else 0

    def objects(self) -> UInt64:
        """Addresses of all objects in the sheaves, ascending, shape (n,)."""
        shape = self._shape
        if shape is None or not len(self._of_cpus):
            return _NONE
        words, _ = self._memory.structs(self._of_cpus, max(shape.of_cpu) + 8)
        full = [sheaf for barn in self._barns for sheaf in self._full(barn, shape)]
        sheaves = np.unique(
            np.append(words[:, np.array(shape.of_cpu) // 8].ravel(), np.array(full, np.uint64))
        )
        return self._objects(sheaves[sheaves != 0], shape)

    def _full(self, barn: int, shape: SheafShape) -> list[int]:
        """The full sheaves of a barn."""
        head, found = barn + shape.barn_full, list[int]()
        link = self._walk.u64(head)
        while link not in (0, head) and len(found) < _MOST_SHEAVES:
            found.append(link - shape.barn_link)
            link = self._walk.u64(link)
        return found

    def _objects(self, sheaves: UInt64, shape: SheafShape) -> UInt64:
        count = self._counts(sheaves, shape)
        most = int(count.max(initial=0))
        if not most:
            return _NONE
        words, known = self._memory.structs(sheaves + np.uint64(shape.objects), 8 * most)
        count = np.where(known, np.minimum(count, self._counts(sheaves, shape)), 0)
        return np.unique(words[np.arange(most) < count[:, None]])

    def _counts(self, sheaves: UInt64, shape: SheafShape) -> NDArray[np.intp]:
        """How many objects each has now, shape (n,); 0 for what is no sheaf of the cache."""
        length = -(-max(shape.size + 4, shape.cache + 8) // 8) * 8
        heads, known = self._memory.structs(sheaves, length)
        mine = known & (heads[:, shape.cache // 8] == self._cache)
        count = np.minimum(heads.view(np.uint32)[:, shape.size // 4], _MOST_OBJECTS)
        return np.where(mine, count, 0).astype(np.intp)
