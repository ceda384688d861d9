# SPDX-License-Identifier: Apache-2.0
"""The free objects in a cache's sheaves: arrays of free objects, of a CPU or, if full, in a node's barn."""

from __future__ import annotations

import struct

from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.slabs.walk import SlabCache, SlabWalk

_MOST_SHEAVES, _MOST_OBJECTS = 64, 512  # bounds, because a list may change while it is read


class Sheaves:
    """The sheaves of one cache, which may have none.  Raises ValueError if they cannot be found."""

    def __init__(self, walk: SlabWalk, shape: SlabShape, percpu: PerCpu, cache: SlabCache) -> None:
        self._walk, self._shape = walk, shape.sheaves
        self._of_cpus: list[int] = []
        self._barns: list[int] = []
        if self._shape is None:
            return
        pointer = walk.u64(cache.address + self._shape.percpu)
        if pointer:
            self._of_cpus = percpu.addresses(pointer)
            self._barns = [
                barn for node in range(shape.node_count) if (barn := self._barn(shape, cache, node))
            ]
            if not self._of_cpus:
                raise ValueError(f"the sheaves of {cache.name} cannot be found")

    def _barn(self, shape: SlabShape, cache: SlabCache, node: int) -> int:
        """The address of a node's barn, 0 if it has none."""
        if self._shape is None:
            return 0
        of_node = cache.address + shape.nodes + node * shape.node_stride
        if self._shape.barn_in_node:
            of_node = self._walk.u64(of_node)
        return self._walk.u64(of_node + self._shape.barn) if of_node else 0

    def objects(self) -> set[int]:
        """Addresses of all objects in the sheaves."""
        if self._shape is None:
            return set()
        found = {self._walk.u64(of_cpu + each) for of_cpu in self._of_cpus for each in self._shape.of_cpu}
        for barn in self._barns:
            found.update(self._full(barn))
        return {each for sheaf in found - {0} for each in self._objects(sheaf)}

    def _full(self, barn: int) -> list[int]:
        """The full sheaves of a barn."""
        if self._shape is None:
            return []
        head, found = barn + self._shape.barn_full, list[int]()
        link = self._walk.u64(head)
        while link not in (0, head) and len(found) < _MOST_SHEAVES:
            found.append(link - self._shape.barn_link)
            link = self._walk.u64(link)
        return found

    def _objects(self, sheaf: int) -> list[int]:
        shape = self._shape
        raw = self._walk.read(sheaf, shape.objects) if shape else None
        if shape is None or raw is None:
            return []
        count = min(struct.unpack_from("<I", raw, shape.size)[0], _MOST_OBJECTS)
        listed = self._walk.read(sheaf + shape.objects, 8 * count) if count else None
        return list(struct.unpack(f"<{count}Q", listed)) if listed else []
