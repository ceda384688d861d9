# SPDX-License-Identifier: Apache-2.0
"""To which memory cgroups the objects of slabs are charged (charge_shape.py says where that is written)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.charge_shape import CgroupShape, ChargeShape
from slabtrace.capture.slabs.places import Structs
from slabtrace.capture.slabs.walk import PAGE_SIZE, SlabWalk
from slabtrace.trace.format.batch import UInt64

_FLAGS, _IS_ARRAY = 7, 1  # MEMCG_DATA_OBJCGS, MEMCG_DATA_OBJEXTS; a page that is no slab has another flag
_LONGEST_STRIDE = 1 << 16
_MOST_PARENTS = 64
_LONGEST_NAME = 256  # NAME_MAX, and a 0 byte
ROOT = "/"


class InUse(NamedTuple):
    """A slab: its first object, cache, bytes from one object to the next, which are in use, shape (n,)."""

    first: int
    cache: int
    stride: int
    in_use: NDArray[np.bool_]


class Charged(NamedTuple):
    """n objects and the obj_cgroup that each is charged to, 0 for none; shape (n,)."""

    ptr: UInt64
    objcg: UInt64


class SlabCharges:
    """Reads the entries of slabs.  `vmemmap`, `sizeof_page`: where the struct pages are (walk.py)."""

    def __init__(
        self, walk: SlabWalk, memory: Structs, shape: ChargeShape, vmemmap: int, sizeof_page: int
    ) -> None:
        self._walk, self._memory, self._shape = walk, memory, shape
        self._vmemmap, self._sizeof_page = np.uint64(vmemmap), np.uint64(sizeof_page)

    def read(self, slabs: Sequence[InUse]) -> Iterator[Charged]:
        """The objects in use on these slabs; those of a slab that cannot be read are left out."""
        slabs = sorted(slabs, key=lambda each: each.first)
        first = np.array([each.first for each in slabs], np.uint64)
        struct = self._vmemmap + first // np.uint64(PAGE_SIZE) * self._sizeof_page
        words, _ = self._memory.structs(struct, self._shape.size)
        for slab, head in zip(slabs, words, strict=True):
            entries = self._entries(slab, head)
            if entries is not None:
                index = np.flatnonzero(slab.in_use).astype(np.uint64)
                yield Charged(np.uint64(slab.first) + np.uint64(slab.stride) * index, entries[slab.in_use])

    def _entries(self, slab: InUse, head: UInt64) -> UInt64 | None:
        """The obj_cgroup of each object of a slab, shape (n,); None if that is not known."""
        shape, number = self._shape, len(slab.in_use)
        array, stride = int(head[shape.array // 8]), self._stride(slab, head)
        if head[shape.slab_cache // 8] != slab.cache:
            return None  # it is another slab by now
        if not array & ~_FLAGS or not _bit(head, shape.has_entries, True):
            return np.zeros(number, np.uint64)
        if not array & _IS_ARRAY or not shape.objcg + 8 <= stride <= _LONGEST_STRIDE or not number:
            return None
        length = stride * (number - 1) + shape.objcg + 8
        raw = self._walk.read_long(array & ~_FLAGS, length)
        if raw is None or len(raw) != length:
            return None
        entries: UInt64 = np.ndarray((number,), "<u8", raw, shape.objcg, (stride,))
        return entries

    def _stride(self, slab: InUse, head: UInt64) -> int:
        stride = self._shape.stride
        if _bit(head, stride.in_object, False):
            return slab.stride
        if not stride.width:
            return stride.fixed
        raw = head.tobytes()[stride.offset : stride.offset + stride.width]
        return int.from_bytes(raw, "little")


def _bit(words: UInt64, bit: int | None, otherwise: bool) -> bool:
    """Whether a bit is set; `otherwise` where there is no such bit."""
    return otherwise if bit is None else bool(int(words[bit // 64]) >> bit % 64 & 1)


class ChargedCgroup(NamedTuple):
    """A memory cgroup by its hierarchy and number; `node`: the address of its kernfs_node."""

    hierarchy: int
    number: int
    node: int


def cgroup_of(walk: SlabWalk, shape: CgroupShape, objcg: int) -> ChargedCgroup | None:
    """The cgroup of an obj_cgroup, that of its parent if it was removed; None if it cannot be read.

    memcg_reparent_objcgs (mm/memcontrol.c) changes obj_cgroup.memcg when a cgroup is removed.
    """
    memcg = walk.u64(objcg + shape.memcg)
    cgroup = walk.u64(memcg + shape.cgroup) if memcg else 0
    node, root = (walk.u64(cgroup + each) if cgroup else 0 for each in (shape.node, shape.root))
    number = walk.u64(node + shape.number) if node else 0
    if not number or not root:
        return None
    return ChargedCgroup(walk.u32(root + shape.hierarchy), number, node)


def path_of(walk: SlabWalk, shape: CgroupShape, node: int) -> str:
    """The path of the directory of a cgroup, as in /proc/PID/cgroup; empty if it cannot be read.

    The path from the root of the hierarchy: kernfs_path_from_node (fs/kernfs/dir.c).
    """
    names: list[str] = []
    for _ in range(_MOST_PARENTS):
        parent = walk.u64(node + shape.parent)
        if not parent:
            return ROOT + "/".join(reversed(names))
        name = walk.string(walk.u64(node + shape.name), _LONGEST_NAME)
        if not name:
            return ""
        names.append(name)
        node = parent
    return ""
