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

from slabtrace.capture.inspecting.in_use import Batch, reader_of
from slabtrace.capture.slabs.percpu import PerCpu
from slabtrace.capture.slabs.places import Slabs
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.format.batch import Int64, UInt64

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

    def at(self, address: int, size: int) -> UInt64:
        self.reads.append(address)
        content = bytes(self.bytes[address : address + size])
        self.after_read(address)
        return np.frombuffer(content, np.uint64)

    def structs(self, address: UInt64, size: int) -> tuple[UInt64, Any]:
        words = [self.at(each, size) for each in address.tolist()]
        return np.array(words, np.uint64).reshape(len(words), size // 8), np.ones(len(words), np.bool_)

    def at_once(self, begin: UInt64, length: Int64) -> UInt64:
        """Nothing changes meanwhile."""
        after_read, self.after_read = self.after_read, lambda address: None
        parts = [self.at(*each) for each in zip(begin.tolist(), length.tolist(), strict=True)]
        self.after_read = after_read
        return np.concatenate(parts)

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


def read(memory: Any, structs: list[int], firsts: list[int], lists_only: bool = True) -> Batch:
    """The slabs with these structs and first bytes."""
    percpu: Any = Cpus()
    counters, none = [memory.u64(each + SHAPE.counters) for each in structs], [0] * len(structs)
    columns = (np.array(each, np.uint64) for each in (structs, firsts, none, none, counters))
    reader = reader_of(memory, memory, SHAPE, percpu, IT)
    (batch,) = reader.batches(Slabs(*columns), lambda: True, lists_only)
    return batch


def free_in(memory: Any) -> list[int] | None:
    """The free objects of the slab, None if that is not known."""
    batch = read(memory, [SLAB], [MEMORY])
    assert (batch.slabs.memory.tolist(), batch.pad, batch.stride) == ([MEMORY], PAD, STRIDE)
    return np.flatnonzero(~batch.in_use[0]).tolist() if batch.known[0] else None


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


def many(count: int) -> tuple[Memory, list[int], list[int]]:
    """Slabs whose structs follow each other: number n has n free objects.  (memory, structs, first bytes)"""
    memory = slab_of([], [], False, OBJECTS)
    memory.bytes += bytes(count * 4096)
    structs = [0x1000 + 64 * number for number in range(count)]
    firsts = [MEMORY + 4096 * number for number in range(count)]
    for number, (slab, first) in enumerate(zip(structs, firsts, strict=True)):
        chain = [first + PAD + index * STRIDE for index in range(number)]
        for address, following in zip(chain, [*chain, 0][1:], strict=True):
            memory.write(address + LINK, following ^ SECRET ^ swab(address + LINK))
        memory.write(slab + SHAPE.slab_cache, CACHE)
        memory.write(slab + SHAPE.freelist, chain[0] if chain else 0)
        memory.write(slab + SHAPE.counters, OBJECTS - number | OBJECTS << 16)
    return memory, structs, firsts


def counts(batch: Batch) -> list[int | None]:
    free = (~batch.in_use).sum(1).tolist()
    return [number if known else None for number, known in zip(free, batch.known.tolist(), strict=True)]


@pytest.mark.parametrize("lists_only", [True, False])
def test_the_memory_of_a_slab_without_a_list_is_read_only_if_it_is_asked_for(lists_only: bool) -> None:
    memory, structs, firsts = many(20)
    memory.reads.clear()
    assert counts(read(memory, structs, firsts, lists_only)) == list(range(20))
    assert (firsts[0] in memory.reads) == (not lists_only)
    assert [memory.reads.count(first) for first in firsts[1:]] == [1] * 19


def test_a_slab_that_changes_is_read_again_and_the_others_are_not() -> None:
    """An object of slab 5 is allocated after its list was read."""
    memory, structs, firsts = many(20)
    slab, left = structs[5], [1]

    def allocate(address: int) -> None:
        if address == firsts[5] and left:
            left.pop()
            head, link_at = memory.u64(slab + SHAPE.freelist), memory.u64(slab + SHAPE.freelist) + LINK
            memory.write(slab + SHAPE.freelist, memory.u64(link_at) ^ SECRET ^ swab(link_at))
            memory.write(slab + SHAPE.counters, memory.u64(slab + SHAPE.counters) + 1)
            memory.write(head + LINK, 0)

    memory.after_read = allocate
    assert counts(read(memory, structs, firsts)) == [*range(5), 4, *range(6, 20)]
    assert [memory.reads.count(firsts[each]) for each in (4, 5, 6)] == [1, 2, 1]


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
        reader_of(memory, memory, SHAPE, percpu, IT)
