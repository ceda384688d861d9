# SPDX-License-Identifier: Apache-2.0
"""Slabs found from many pages together: the same as one by one."""

from __future__ import annotations

import struct
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from slabtrace.capture.kernel.features import SlabPageTest
from slabtrace.capture.slabs.places import Slabs, find_slabs
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.trace.format.batch import UInt64
from tests.unit.capture.inspecting.test_free_lists import SHAPE as LISTS

FIRST = 0xFFFF8880_00100000  # of memory
PAGES = 1024
CACHE = 0xFFFF8880_00042000
HEAD, SLAB_CACHE, FREELIST, TEST = 8, 16, 24, 48  # offsets in struct page; the counters follow the freelist
SHAPE = replace(LISTS, slab_cache=SLAB_CACHE, freelist=FREELIST, counters=FREELIST + 8)


class Memory(SlabWalk):
    """The struct pages of PAGES pages.  The block at `hole` cannot be read."""

    def __init__(self, sizeof_page: int, masked: bool) -> None:
        shape = SimpleNamespace(
            sizeof_page=sizeof_page, compound_head=HEAD, compound_masked=masked, slab_cache=SLAB_CACHE,
            slab_page=SlabPageTest(TEST, 0xFF000000, 0xF5000000),
        )  # fmt: skip
        self._shape: Any = shape
        self.map = 0xFFFFEA00_00000000
        self.vmemmap = (self.map - FIRST // 4096 * sizeof_page) % (1 << 64)
        self.bytes = bytearray(PAGES * sizeof_page)
        self.hole = range(0)
        self.peeks = 0

    def slab(self, number: int, order: int) -> None:
        """A slab from this page on."""
        size = self._shape.sizeof_page
        struct.pack_into("<Q", self.bytes, number * size + SLAB_CACHE, CACHE + number)
        struct.pack_into("<I", self.bytes, number * size + TEST, 0xF5000001)
        for tail in range(number + 1, number + (1 << order)):
            head = self.map + number * size + 1
            if self._shape.compound_masked:
                head = (-1 << (order + 6)) % (1 << 64) | 1
            struct.pack_into("<Q", self.bytes, tail * size + HEAD, head)

    def read(self, address: int, length: int) -> bytes | None:
        self.peeks += 1
        begin = address - self.map
        if not 0 <= begin <= len(self.bytes) - length or set(self.hole) & set(range(begin, begin + length)):
            return None
        return bytes(self.bytes[begin : begin + length])

    def structs(self, address: UInt64, size: int) -> tuple[UInt64, NDArray[np.bool_]]:
        raw = [self.read(each, size) for each in address.tolist()]
        words = np.array([np.frombuffer(each or bytes(size), np.uint64) for each in raw], np.uint64)
        return words.reshape(len(raw), size // 8), np.array([each is not None for each in raw], np.bool_)

    def slabs(self, numbers: list[int]) -> Slabs:
        pages = np.array([FIRST + 4096 * number for number in numbers], np.uint64)
        return find_slabs(self, self._shape, SHAPE, self.vmemmap, pages)

    def found(self, numbers: list[int]) -> list[tuple[int, int, int]]:
        return list(zip(*(column.tolist() for column in self.slabs(numbers)[:3]), strict=True))

    def one_by_one(self, numbers: list[int]) -> list[tuple[int, int, int]]:
        found = (self.slab_at(self.vmemmap, FIRST + 4096 * number) for number in numbers)
        return sorted({tuple(each) for each in found if each is not None})


@given(
    st.lists(
        st.tuples(st.integers(0, PAGES // 8 - 1), st.integers(0, 3)), max_size=40, unique_by=lambda e: e[0]
    ),
    st.lists(st.integers(0, PAGES - 1), min_size=1, max_size=200),
    st.sampled_from([(56, False), (64, False), (64, True), (80, False)]),
)
def test_the_same_as_one_by_one(
    slabs: list[tuple[int, int]], numbers: list[int], kind: tuple[int, bool]
) -> None:
    memory = Memory(*kind)
    for eighth, order in slabs:
        memory.slab(8 * eighth, order)
    assert memory.found(numbers) == memory.one_by_one(numbers)


def test_the_words_of_a_slab_come_with_it() -> None:
    memory = Memory(64, False)
    memory.slab(8, 3)
    struct.pack_into("<2Q", memory.bytes, 8 * 64 + FREELIST, 0xF0, 7 << 16 | 5)
    slabs = memory.slabs(list(range(PAGES)))
    assert (slabs.freelist.tolist(), slabs.objects.tolist(), slabs.inuse.tolist()) == ([0xF0], [7], [5])


def test_the_head_of_a_tail_alone_is_read_too() -> None:
    memory = Memory(64, False)
    memory.slab(512, 3)
    assert memory.found([519]) == [(memory.map + 64 * 512, FIRST + 4096 * 512, CACHE + 512)]


@pytest.mark.parametrize("hole", [3, 9])
def test_what_cannot_be_read_spoils_nothing_beside_it(hole: int) -> None:
    memory = Memory(64, False)
    for number in range(0, 16, 2):
        memory.slab(number, 0)
    memory.hole = range(64 * hole, 64 * hole + 8)
    assert [place[2] - CACHE for place in memory.found(list(range(16)))] == list(range(0, 16, 2))
