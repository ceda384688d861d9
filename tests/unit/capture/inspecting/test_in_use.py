# SPDX-License-Identifier: Apache-2.0
"""Which objects are in use, by lists in made-up memory: of slabs, CPUs and sheaves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest

from slabtrace.capture.inspecting.in_use import Batch, CacheLists, InUse
from slabtrace.capture.slabs.places import Slabs
from slabtrace.capture.slabs.walk import SlabCache
from tests.unit.capture.inspecting.made_up import BASE, Memory
from tests.unit.capture.inspecting.test_free_lists import SHAPE

CACHE, STRUCT, MEMORY, CPU = BASE + 0x100, BASE + 0x1000, BASE + 0x4000, BASE + 0x200
OBJECTS, STRIDE, PAD, LINK, SECRET = 5, 96, 16, 48, 0x1122334455667788
IT = SlabCache(CACHE, "it", 64, STRIDE, 0, 0, OBJECTS, PAD, False)


class Kernel:
    """Slabs of one cache, a page each."""

    def __init__(self, sheaves: Sequence[int] = ()) -> None:
        self.memory = Memory()
        self.count = 0
        in_sheaves = np.array([self.object(0, each) for each in sheaves], np.uint64)
        lists = CacheLists(PAD + LINK, SECRET, np.array([CPU], np.uint64), lambda: in_sheaves)
        self.reader = InUse(self.memory, SHAPE, IT, lists)

    @staticmethod
    def object(slab: int, index: int) -> int:
        return MEMORY + 4096 * slab + PAD + STRIDE * index

    def link(self, slab: int, free: Sequence[int]) -> int:
        """Link free objects; returns the address of the first."""
        places = [self.object(slab, each) for each in free]
        for at, following in zip(places, [*places[1:], 0][: len(places)], strict=True):
            word = at + LINK
            swapped = int.from_bytes(word.to_bytes(8, "little"), "big")
            self.memory.put(word, following ^ SECRET ^ swapped)
        return places[0] if places else 0

    def slab(self, free: Sequence[int] = (), inuse: int | None = None) -> None:
        used = OBJECTS - len(free) if inuse is None else inuse
        first, at = self.link(self.count, free), STRUCT + 64 * self.count
        self.memory.put(at + SHAPE.slab_cache, CACHE)
        self.memory.put(at + SHAPE.freelist, first, OBJECTS << 16 | used)
        self.count += 1

    def slabs(self) -> Slabs:
        number = np.arange(self.count, dtype=np.uint64)
        struct, memory = (
            np.uint64(STRUCT) + number * np.uint64(64),
            np.uint64(MEMORY) + number * np.uint64(4096),
        )
        counters = np.full(self.count, OBJECTS << 16, np.uint64)
        return Slabs(struct, memory, np.full(self.count, CACHE, np.uint64), counters * 0, counters)

    def batch(self) -> Batch:
        (batch,) = self.reader.batches(self.slabs(), lambda: True)
        return batch


def used(batch: Batch) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in batch.in_use]


def test_lists_of_several_slabs_are_followed_at_the_same_time() -> None:
    kernel = Kernel()
    kernel.slab()
    kernel.slab(free=[2, 0])
    kernel.slab(free=[4, 3, 1, 2, 0])
    batch = kernel.batch()
    assert batch.known.all()
    assert used(batch) == [[0, 1, 2, 3, 4], [1, 3, 4], []]


def test_a_cpus_free_objects_are_free_though_the_slab_counts_them_in_use() -> None:
    kernel = Kernel()
    kernel.slab(free=[], inuse=OBJECTS)
    kernel.memory.put(CPU, kernel.link(0, [3, 1]), 7, STRUCT)
    assert used(kernel.batch()) == [[0, 2, 4]]


def test_objects_in_sheaves_are_free() -> None:
    kernel = Kernel(sheaves=[1])
    kernel.slab()
    assert used(kernel.batch()) == [[0, 2, 3, 4]]


@pytest.mark.parametrize("inuse", [2, 4])
def test_a_slab_whose_list_is_not_as_long_as_it_counts_is_not_known(inuse: int) -> None:
    kernel = Kernel()
    kernel.slab(free=[2, 0], inuse=inuse)
    kernel.slab(free=[1])
    batch = kernel.batch()
    assert batch.known.tolist() == [False, True]
    assert set(batch.objects().address.tolist()) == {kernel.object(1, each) for each in (0, 2, 3, 4)}


def test_a_link_to_no_object_and_a_circle_are_not_followed() -> None:
    kernel = Kernel()
    kernel.slab(free=[2, 0])
    kernel.slab(free=[2, 0])
    word = kernel.object(1, 0) + LINK
    swapped = int.from_bytes(word.to_bytes(8, "little"), "big")
    kernel.memory.put(word, kernel.object(1, 2) ^ SECRET ^ swapped)  # back to the first
    kernel.memory.put(kernel.object(0, 2) + LINK, 0x4141414141414141)
    assert kernel.batch().known.tolist() == [False, False]


def test_a_slab_that_changes_between_any_two_system_calls_is_read_in_one() -> None:
    kernel = Kernel()
    kernel.slab(free=[2, 0])
    kernel.slab(inuse=OBJECTS)
    tids = count(8)

    def change() -> (
        None
    ):  # as a CPU that allocates from a slab and frees to it, and another that frees to one
        kernel.memory.put(CPU, kernel.link(1, [3, 1]), next(tids), STRUCT + 64)
        kernel.memory.put(STRUCT + SHAPE.counters, OBJECTS << 16 | 3 | next(tids) << 32)

    kernel.memory.after_read = change
    batch = kernel.batch()
    assert batch.known.all()
    assert used(batch) == [[1, 3, 4], [0, 2, 4]]


def test_a_slab_that_is_never_consistent_is_not_known_and_one_that_becomes_so_is_read_again() -> None:
    kernel = Kernel()
    kernel.slab(free=[2, 0])
    left = [3]

    def change() -> None:
        left[0] -= 1
        used_by_counters = 3 if left[0] <= 0 else 2
        kernel.memory.put(STRUCT + SHAPE.counters, OBJECTS << 16 | used_by_counters | abs(left[0]) << 32)

    kernel.memory.after_read = change
    batch = kernel.batch()
    assert batch.known.all()
    assert used(batch) == [[1, 3, 4]]
    left[0] = 1_000_000
    assert not kernel.batch().known.any()


def test_a_slab_that_was_given_back_is_not_tried_again() -> None:
    kernel = Kernel()
    kernel.slab()
    kernel.memory.put(STRUCT + SHAPE.slab_cache, CACHE + 8)
    reads: list[int] = []
    kernel.memory.after_read = lambda: reads.append(1)
    assert not kernel.batch().known.any()
    assert len(reads) == 5  # words of slabs and CPUs twice, memory


def test_the_objects_words_are_theirs() -> None:
    kernel = Kernel()
    kernel.slab(free=[0])
    kernel.memory.put(kernel.object(0, 3), 0xABCD)
    objects = kernel.batch().objects()
    assert objects.address.tolist() == [kernel.object(0, each) for each in (1, 2, 3, 4)]
    assert objects.u64(0).tolist() == [0, 0, 0xABCD, 0]
