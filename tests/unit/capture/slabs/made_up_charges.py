# SPDX-License-Identifier: Apache-2.0
"""Slabs with charged objects, and the cgroups these are charged to, in made-up memory."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.charge_shape import CgroupShape, ChargeShape, Stride
from slabtrace.capture.slabs.charges import SlabCharges
from slabtrace.capture.storing.charge_check import ChargeCheck, Charges
from slabtrace.capture.storing.slab_check import SlabRow
from slabtrace.trace.format.batch import UInt64

BASE = 0xFFFF_8880_0000_0000
STRUCTS = BASE + (1 << 20)  # of struct pages, 64 bytes each
SIZEOF_PAGE, PAGE_SIZE = 64, 4096
VMEMMAP = (STRUCTS - BASE // PAGE_SIZE * SIZEOF_PAGE) % (1 << 64)
NODES = 0x8000  # of the first 16 pages, where everything else is
CGROUP = CgroupShape(memcg=16, cgroup=0, root=40, hierarchy=12, node=24, number=32, parent=8, name=16)
POINTERS = ChargeShape(40, 8, array=32, stride=Stride(8), objcg=0, has_entries=None, cgroup=CGROUP)
ENTRIES = ChargeShape(40, 8, array=32, stride=Stride(16), objcg=8, has_entries=None, cgroup=CGROUP)
# in 7.0 the distance of the entries is in the slab: 2 bytes, later 4; then bits
SHORT = dataclasses.replace(ENTRIES, stride=Stride(0, 20, 2), objcg=0)
LONG = dataclasses.replace(ENTRIES, stride=Stride(0, 20, 4), objcg=0)
IN_OBJECT, NEEDS = 161, 162  # behind bit 160
BITS = dataclasses.replace(ENTRIES, stride=Stride(8, in_object=IN_OBJECT), objcg=0, has_entries=NEEDS)
OBJECTS, SIZE = 8, 64  # of a slab; bytes of an object
HIERARCHY = 4


class Kernel:
    """Memory as SlabWalk reads it.  Slabs of one page each, from page 16 on."""

    def __init__(self, shape: ChargeShape) -> None:
        self.shape = shape
        self.bytes = bytearray((1 << 20) + SIZEOF_PAGE * 256)
        self._next = BASE + NODES
        self.slabs: list[SlabRow] = []
        self.root = self.new()
        self.put(self.root + CGROUP.hierarchy, HIERARCHY, "<I")
        self.peeked = 0

    def new(self, size: int = 64) -> int:
        """The address of so many bytes, all 0."""
        self._next += size
        return self._next - size

    def put(self, address: int, value: int, layout: str = "<Q") -> None:
        struct.pack_into(layout, self.bytes, address - BASE, value)

    def node(self, number: int, name: str, parent: int = 0) -> int:
        """A directory."""
        at, text = self.new(), self.new(256)
        self.bytes[text - BASE : text - BASE + len(name)] = name.encode()
        for field, value in ((CGROUP.number, number), (CGROUP.parent, parent), (CGROUP.name, text)):
            self.put(at + field, value)
        return at

    def memcg(self, node: int) -> int:
        memcg, cgroup = self.new(), self.new()
        self.put(memcg + CGROUP.cgroup, cgroup)
        self.put(cgroup + CGROUP.node, node)
        self.put(cgroup + CGROUP.root, self.root)
        return memcg

    def objcg(self, memcg: int) -> int:
        at = self.new()
        self.put(at + CGROUP.memcg, memcg)
        return at

    def slab(self, objcgs: Sequence[int], cache: int = 0xC0, flags: int = 1, in_object: bool = False) -> int:
        """A slab whose objects are charged to these, 0: none; `flags`: in the pointer to the entries."""
        memory = BASE + PAGE_SIZE * (16 + len(self.slabs))
        head = STRUCTS + (memory - BASE) // PAGE_SIZE * SIZEOF_PAGE
        stride = SIZE if in_object else self.shape.stride.fixed or 24
        entries = memory + 48 if in_object else self.new(stride * len(objcgs))
        self.put(head + self.shape.slab_cache, cache)
        self.put(head + self.shape.array, entries | flags if flags else 0)
        bits = 1 | in_object << IN_OBJECT - 160 | (flags != 0) << NEEDS - 160
        self.put(head + 20, bits if self.shape.has_entries else 0xFFFF_FFFF, "<I")
        if self.shape.stride.width:  # beside one of 2 bytes other bits are set
            self.put(head + 20, stride, {2: "<H", 4: "<I"}[self.shape.stride.width])
        for at, objcg in enumerate(objcgs):
            self.put(entries + stride * at + self.shape.objcg, objcg)
        self.slabs.append(SlabRow(1, memory, cache, SIZE, len(objcgs), bytes(-(-len(objcgs) // 8))))
        return memory

    def free(self, slab: int, *objects: int) -> None:
        """These objects of a slab are free."""
        at = next(at for at, each in enumerate(self.slabs) if each.slab == slab)
        row = self.slabs[at]
        bits = np.packbits([each in objects for each in range(row.objects)], bitorder="little").tobytes()
        self.slabs[at] = row._replace(free=bits)

    def read(self, address: int, length: int) -> bytes | None:
        self.peeked += 1
        inside = 0 <= address - BASE <= len(self.bytes) - length
        return bytes(self.bytes[address - BASE : address - BASE + length]) if inside else None

    read_long = read

    def structs(self, address: UInt64, size: int) -> tuple[UInt64, NDArray[np.bool_]]:
        peeked, raw = self.peeked, [self.read(each, size) for each in address.tolist()]
        self.peeked = peeked + 1
        words = np.array([np.frombuffer(each or bytes(size), np.uint64) for each in raw], np.uint64)
        return words.reshape(len(raw), size // 8), np.array([each is not None for each in raw], np.bool_)

    def u64(self, address: int) -> int:
        return int.from_bytes(self.read(address, 8) or b"", "little")

    def u32(self, address: int) -> int:
        return int.from_bytes(self.read(address, 4) or b"", "little")

    def string(self, address: int, limit: int = 128) -> str:
        return (self.read(address, limit) or b"").split(b"\0", 1)[0].decode(errors="backslashreplace")

    def check(self, seconds: float = 3600) -> Charges:
        """What the check finds."""
        walk: Any = self
        reader = SlabCharges(walk, self, self.shape, VMEMMAP, SIZEOF_PAGE)
        return ChargeCheck(walk, self.shape, reader, seconds).charges(self.slabs)

    def charged(self, seconds: float = 3600) -> dict[int, tuple[int, int]]:
        """{address: (hierarchy, number)}."""
        rows = self.check(seconds).rows
        assert rows.ptr.tolist() == sorted(set(rows.ptr.tolist()))
        pairs = zip(rows.hierarchy.tolist(), rows.cgroup.tolist(), strict=True)
        return dict(zip(rows.ptr.tolist(), pairs, strict=True))


def objects_of(slab: int, number: int = OBJECTS) -> list[int]:
    return [slab + SIZE * at for at in range(number)]
