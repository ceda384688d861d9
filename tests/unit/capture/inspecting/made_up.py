# SPDX-License-Identifier: Apache-2.0
"""Made-up kernel memory, and a layout of structs that no kernel has."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from slabtrace.capture.inspecting.kinds.kind import Scene
from slabtrace.capture.inspecting.layout import Layout
from slabtrace.capture.inspecting.memory import Bools, Chunk, pieces
from slabtrace.capture.inspecting.where import Where
from slabtrace.capture.slabs.places import Slabs
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.format.batch import Int64, UInt64

BASE = 0xFFFF_8880_0000_0000
IMAGE = 0xFFFF_FFFF_8100_0000  # an address in the kernel's image


class Memory:
    """`size` bytes from BASE on, as inspecting.memory.Memory; nothing else can be read."""

    def __init__(self, size: int = 1 << 17) -> None:
        self.bytes = bytearray(size)
        self.after_read: Callable[[], None] = lambda: None

    def put(self, address: int, *words: int) -> None:
        struct.pack_into(f"<{len(words)}Q", self.bytes, address - BASE, *words)

    def put_bytes(self, address: int, content: bytes) -> None:
        self.bytes[address - BASE : address - BASE + len(content)] = content

    def structs(self, address: UInt64, size: int) -> tuple[UInt64, Bools]:
        found = np.zeros((len(address), size // 8), np.uint64)
        known = np.zeros(len(address), np.bool_)
        for row, at in enumerate(address.tolist()):
            if BASE <= at <= BASE + len(self.bytes) - size:
                found[row] = np.frombuffer(bytes(self.bytes[at - BASE : at - BASE + size]), np.uint64)
                known[row] = True
        self.after_read()
        return found, known

    def word(self, address: int) -> int:
        return int(self.structs(np.array([address % (1 << 64)], np.uint64), 8)[0][0, 0])

    def chunks(self, begin: UInt64, length: Int64) -> Iterator[Chunk]:
        begin, length = pieces(begin, length)
        for at, size in zip(begin, length.tolist(), strict=True):
            words, known = self.structs(np.array([at]), size)
            if known[0]:
                yield Chunk(words[0], np.array([at]), np.array([0], np.int64))

    def at_once(self, begin: UInt64, length: Int64) -> UInt64 | None:
        parts = []
        for at, size in zip(begin.tolist(), length.tolist(), strict=True):
            if not BASE <= at <= BASE + len(self.bytes) - size:
                return None
            parts.append(np.frombuffer(bytes(self.bytes[at - BASE : at - BASE + size]), np.uint64))
        self.after_read()
        return np.concatenate(parts)


class Fields:
    """A layout by names; structs have 256 bytes."""

    def __init__(self, offsets: Mapping[str, int]) -> None:
        self._offsets = offsets

    def offset_of(self, dotted: str) -> int | None:
        return self._offsets.get(dotted)

    def size(self, struct: str) -> int | None:
        return 256


def cache(address: int, name: str, size: int) -> SlabCache:
    return SlabCache(address, name, size, size, 0, 0, 4096 // size, 0, False)


def slabs_of(*rows: tuple[int, int, int]) -> Slabs:
    """Slabs by their memory, cache and number of objects; all of them full."""
    memory, caches, objects = (np.array(column, np.uint64) for column in zip(*rows, strict=True))
    counters = objects << np.uint64(16) | objects
    return Slabs(memory >> np.uint64(6), memory, caches, np.zeros_like(memory), counters)


def scene(memory: Memory, offsets: Mapping[str, int], *rows: tuple[int, SlabCache]) -> Scene:
    """A scene with a slab of each cache at an address."""
    slabs = slabs_of(*((at, each.address, each.objects_per_slab) for at, each in rows))
    where = Where(slabs, {each.address: each for _, each in rows})
    return Scene(memory, Layout(Fields(offsets)), where)
