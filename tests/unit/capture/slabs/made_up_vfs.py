# SPDX-License-Identifier: Apache-2.0
"""Dentries and inodes in made-up memory, as the pin check reads them."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from slabtrace.capture.slabs.pin_shape import DentryShape, InodeShape, PinShape
from slabtrace.capture.storing.pin_check import PinCheck
from slabtrace.capture.storing.slab_check import SlabRow

BASE = 0xFFFF_8880_0000_0000
SHAPE = PinShape(
    DentryShape(
        size=96, count=4, parent=16, superblock=24, name=32, alias=40, sibling=56, children=72, circular=False
    ),
    InodeShape(size=160, count=12, dentries=24, mapping=40, data=64, host=8),
)
CIRCULAR = dataclasses.replace(SHAPE, dentry=dataclasses.replace(SHAPE.dentry, circular=True))
DENTRIES, INODES, PER_SLAB = 0x100, 0x200, 5
STRIDE_OF_DENTRIES, STRIDE_OF_INODES = 104, 256  # larger than the structs, as with metadata


class Kernel:
    """Memory with slabs of dentries (first) and inodes (from half of it on), as SlabWalk reads it."""

    def __init__(self, shape: PinShape = SHAPE, offset: int = 32) -> None:
        self.shape, self.offset = shape, offset  # of the inode in its object
        self.bytes = bytearray(1 << 16)
        self.dentries: list[int] = []
        self.inodes: list[int] = []
        self.peeked = 0

    def put(self, address: int, layout: str, value: int) -> None:
        struct.pack_into(layout, self.bytes, address - BASE, value)

    def dentry(self, count: int, parent: int | None = None, inode: int | None = None) -> int:
        """A new dentry; it becomes the first child of `parent` and the first name of `inode`."""
        at = BASE + STRIDE_OF_DENTRIES * len(self.dentries)
        self.dentries.append(at)
        shape = self.shape.dentry
        self.put(at + shape.count, "<i", count)
        for field in (shape.superblock, shape.name):
            self.put(at + field, "<Q", BASE + 8)
        self.put(at + shape.parent, "<Q", at if parent is None else parent)
        if shape.circular:
            self.put(at + shape.children, "<Q", at + shape.children)
        if parent is not None:
            self._push(parent + shape.children, at + shape.sibling)
        if inode is not None:
            self._push(inode + self.offset + self.shape.inode.dentries, at + shape.alias)
        return at

    def _push(self, head: int, link: int) -> None:
        self.bytes[link - BASE : link - BASE + 8] = self.bytes[head - BASE : head - BASE + 8]
        self.put(head, "<Q", link)

    def inode(self, count: int) -> int:
        """A new object with an inode in it; returns the address of the object."""
        at = BASE + len(self.bytes) // 2 + STRIDE_OF_INODES * len(self.inodes)
        self.inodes.append(at)
        inode, shape = at + self.offset, self.shape.inode
        self.put(inode + shape.count, "<i", count)
        self.put(inode + shape.mapping, "<Q", inode + shape.data)
        self.put(inode + shape.data + shape.host, "<Q", inode)
        return at

    def read(self, address: int, length: int) -> bytes | None:
        self.peeked += 1
        inside = 0 <= address - BASE <= len(self.bytes) - length
        return bytes(self.bytes[address - BASE : address - BASE + length]) if inside else None

    read_long = read

    def u32(self, address: int) -> int:
        raw = self.read(address, 4)
        return struct.unpack("<I", raw)[0] if raw else 0

    def states(
        self, unread: Sequence[int] = (), overlay: Sequence[int] = (), seconds: float = 3600
    ) -> dict[int, int]:
        """What the check finds: {address: 1 pinned, 0 not}.  Objects at `unread` are not asked for."""
        walk: Any = self
        slabs = {
            DENTRIES: rows_of(self.dentries, DENTRIES, STRIDE_OF_DENTRIES, unread),
            INODES: rows_of(self.inodes, INODES, STRIDE_OF_INODES, unread),
        }
        by_cache = {cache: rows for cache, rows in slabs.items() if rows}
        rows = PinCheck(walk, self.shape, seconds).rows(slabs[DENTRIES], by_cache, overlay)
        assert rows.ptr.tolist() == sorted(set(rows.ptr.tolist()))
        return dict(zip(rows.ptr.tolist(), rows.pinned.tolist(), strict=True))


def rows_of(objects: Sequence[int], cache: int, stride: int, unread: Sequence[int]) -> list[SlabRow]:
    """Slabs of PER_SLAB objects; those at `unread` are free in them."""
    rows = []
    for begin in range(0, len(objects), PER_SLAB):
        some = objects[begin : begin + PER_SLAB]
        free = np.packbits([each in unread for each in some], bitorder="little").tobytes()
        rows.append(SlabRow(1, some[0], cache, stride, len(some), free))
    return rows
