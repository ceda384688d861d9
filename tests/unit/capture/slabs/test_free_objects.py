# SPDX-License-Identifier: Apache-2.0
"""Freelists in made-up memory, laid out as mm/slub.c does: a slab whose count differs has no result."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.capture.slabs.free_objects import FreeObjects
from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.slabs.walk import SlabCache

SLAB, MEMORY, CACHE, CPU_SLAB = 0x1000, 0x100000, 0x2000, 0x3000
OBJECTS, STRIDE, LINK, PAD, SECRET = 37, 96, 48, 16, 0x1122334455667788
SHAPE = SlabShape(
    slab_cache=8,
    freelist=16,
    counters=24,
    link=40,
    random=48,
    cpu_slab=0,
    cpu_freelist=0,
    cpu_tid=8,
    cpu_current=16,
    nodes=64,
    node_stride=8,
    node_count=1,
    sheaves=None,
    pptrs=None,
)
IT = SlabCache(CACHE, "it", 64, STRIDE, 0, 0, OBJECTS, PAD, False)


class Memory:
    """Kernel memory, as SlabWalk reads it."""

    def __init__(self) -> None:
        self.bytes = bytearray(0x102000)

    def write(self, address: int, word: int) -> None:
        struct.pack_into("<Q", self.bytes, address, word)

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.bytes[address : address + length])

    read_long = read

    def u64(self, address: int) -> int:
        return int(struct.unpack_from("<Q", self.bytes, address)[0])

    def u32(self, address: int) -> int:
        return self.u64(address) & 0xFFFFFFFF


class Cpus:
    """One CPU."""

    def addresses(self, pointer: int) -> list[int]:
        return [pointer]


def swab(word: int) -> int:
    return int.from_bytes(word.to_bytes(8, "little"), "big")


def place(index: int) -> int:
    return MEMORY + PAD + index * STRIDE


def link(memory: Memory, chain: list[int]) -> int:
    """Write a freelist of these objects; returns its head."""
    for index, following in zip(chain, [*map(place, chain), 0][1:], strict=True):
        at = place(index) + LINK
        memory.write(at, following ^ SECRET ^ swab(at))
    return place(chain[0]) if chain else 0


def slab_of(on_slab: list[int], on_cpu: list[int], frozen: bool, inuse: int) -> Memory:
    memory = Memory()
    memory.write(CACHE + SHAPE.cpu_slab, CPU_SLAB)  # type: ignore[operator]
    memory.write(CACHE + SHAPE.link, LINK)
    memory.write(CACHE + SHAPE.random, SECRET)  # type: ignore[operator]
    memory.write(SLAB + SHAPE.slab_cache, CACHE)
    memory.write(SLAB + SHAPE.freelist, link(memory, on_slab))
    memory.write(SLAB + SHAPE.counters, inuse | OBJECTS << 16 | frozen << 31)
    memory.write(CPU_SLAB + SHAPE.cpu_freelist, link(memory, on_cpu))
    memory.write(CPU_SLAB + SHAPE.cpu_current, SLAB if frozen else 0)
    return memory


def free_in(memory: Any) -> list[int] | None:
    """The free objects of the slab, None if it has no result."""
    percpu: Any = Cpus()
    state = FreeObjects(memory, SHAPE, percpu, IT).state(SLAB, MEMORY)
    if state is None:
        return None
    assert (state.first, state.stride, len(state.free)) == (place(0), STRIDE, OBJECTS)
    return [int(index) for index in np.flatnonzero(state.free)]


@given(st.permutations(range(OBJECTS)), st.integers(0, OBJECTS))
def test_a_slab_at_rest(order: list[int], count: int) -> None:
    assert free_in(slab_of(order[:count], [], False, OBJECTS - count)) == sorted(order[:count])


@given(st.permutations(range(OBJECTS)), st.integers(0, OBJECTS), st.integers(0, OBJECTS))
def test_a_slab_that_a_cpu_allocates_from(order: list[int], a: int, b: int) -> None:
    """What the CPU has on its own list counts as in use; others' frees go to the slab's."""
    a, b = sorted((a, b))
    memory = slab_of(order[:a], order[a:b], True, OBJECTS - a)
    assert free_in(memory) == sorted(order[:b])


def test_a_count_that_does_not_agree_is_not_told() -> None:
    assert free_in(slab_of([3, 5, 7], [], False, OBJECTS - 2)) is None


def test_a_list_that_leads_astray_is_not_told() -> None:
    memory = slab_of([3, 5, 7], [], False, OBJECTS - 3)
    memory.write(place(5) + LINK, 0xDEAD)
    assert free_in(memory) is None


def test_a_list_that_runs_in_a_circle_is_not_told() -> None:
    memory = slab_of([3, 5, 7], [], False, OBJECTS - 3)
    at = place(7) + LINK
    memory.write(at, place(3) ^ SECRET ^ swab(at))
    assert free_in(memory) is None


def test_another_caches_slab_is_not_told() -> None:
    memory = slab_of([], [], False, OBJECTS)
    memory.write(SLAB + SHAPE.slab_cache, CACHE + 8)
    assert free_in(memory) is None


def test_without_the_cpus_nothing_can_be_told() -> None:
    """Where their memory is not found, a free object of theirs would pass for one in use."""
    percpu = PerCpu.__new__(PerCpu)
    percpu.bases = {}
    memory: Any = slab_of([], [], False, OBJECTS)
    with pytest.raises(ValueError, match="it"):
        FreeObjects(memory, SHAPE, percpu, IT)
