# SPDX-License-Identifier: Apache-2.0
"""Freelists in made-up memory, laid out as mm/slub.c does: a slab whose count differs has no result."""

from __future__ import annotations

import struct
from collections.abc import Callable
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
        self.reads: list[int] = []
        self.after_read: Callable[[int], None] = lambda address: None

    def write(self, address: int, word: int) -> None:
        struct.pack_into("<Q", self.bytes, address, word)

    def read(self, address: int, length: int) -> bytes:
        self.reads.append(address)
        content = bytes(self.bytes[address : address + length])
        self.after_read(address)
        return content

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


def many(count: int) -> tuple[Memory, Any, Any]:
    """Slabs whose structs follow each other: number n has n free objects.  (memory, structs, first bytes)"""
    memory = slab_of([], [], False, OBJECTS)
    memory.bytes += bytes(count * 4096)
    structs = np.arange(count, dtype=np.uint64) * np.uint64(64) + np.uint64(0x1000)
    firsts = np.arange(count, dtype=np.uint64) * np.uint64(4096) + np.uint64(MEMORY)
    for number, (slab, first) in enumerate(zip(structs.tolist(), firsts.tolist(), strict=True)):
        chain = [first + PAD + index * STRIDE for index in range(number)]
        for address, following in zip(chain, [*chain, 0][1:], strict=True):
            memory.write(address + LINK, following ^ SECRET ^ swab(address + LINK))
        memory.write(slab + SHAPE.slab_cache, CACHE)
        memory.write(slab + SHAPE.freelist, chain[0] if chain else 0)
        memory.write(slab + SHAPE.counters, OBJECTS - number | OBJECTS << 16)
    return memory, structs, firsts


def counts(states: list[Any]) -> list[int | None]:
    return [None if state is None else int(state.free.sum()) for state in states]


def test_slabs_near_each_other_are_read_together() -> None:
    memory, structs, firsts = many(20)
    percpu: Any = Cpus()
    reader = FreeObjects(memory, SHAPE, percpu, IT)  # type: ignore[arg-type]
    memory.reads.clear()
    assert counts(reader.states(structs, firsts)) == list(range(20))
    # the struct slabs before and after, the CPU, and the objects of each slab that is not full
    assert len(memory.reads) == 2 + 1 + 19


@pytest.mark.parametrize("changes", [1, 2, 3])
def test_a_slab_that_changes_is_read_again_and_the_others_are_not(changes: int) -> None:
    """At each change an object of slab 5 is allocated, after its list was read."""
    memory, structs, firsts = many(20)
    slab, first = int(structs[5]), int(firsts[5])
    left = [changes]

    def allocate(address: int) -> None:
        if address == first and left[0]:
            left[0] -= 1
            head, link_at = memory.u64(slab + SHAPE.freelist), memory.u64(slab + SHAPE.freelist) + LINK
            memory.write(slab + SHAPE.freelist, memory.u64(link_at) ^ SECRET ^ swab(link_at))
            memory.write(slab + SHAPE.counters, memory.u64(slab + SHAPE.counters) + 1)
            memory.write(head + LINK, 0)

    percpu: Any = Cpus()
    reader = FreeObjects(memory, SHAPE, percpu, IT)  # type: ignore[arg-type]
    memory.after_read = allocate
    expected: list[int | None] = list(range(20))
    expected[5] = 5 - changes if changes < 3 else None
    assert counts(reader.states(structs, firsts)) == expected
    again = memory.reads.count(first)
    assert (again, memory.reads.count(int(firsts[6]))) == (min(changes + 1, 3), 1)


def test_a_cpu_that_goes_on_meanwhile_has_its_slab_read_again() -> None:
    """The slab's own words stay the same when its CPU allocates from it; the transaction id does not."""
    memory = slab_of([3], [5, 7, 9], True, OBJECTS - 1)
    left = [1]

    def allocate(address: int) -> None:
        if address == MEMORY and left[0]:
            left[0] -= 1
            memory.write(CPU_SLAB + SHAPE.cpu_freelist, place(7))
            memory.write(CPU_SLAB + SHAPE.cpu_tid, 1)

    memory.after_read = allocate
    assert free_in(memory) == [3, 7, 9]


def test_without_the_cpus_nothing_can_be_told() -> None:
    """Where their memory is not found, a free object of theirs would pass for one in use."""
    percpu = PerCpu.__new__(PerCpu)
    percpu.bases = {}
    memory: Any = slab_of([], [], False, OBJECTS)
    with pytest.raises(ValueError, match="it"):
        FreeObjects(memory, SHAPE, percpu, IT)
