# SPDX-License-Identifier: Apache-2.0
"""Words that are addresses of objects are found, whoever has them; what is free has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from slabtrace.capture.inspecting.holders.search import Area, Hits, Targets, search
from slabtrace.capture.inspecting.holders.units import Units
from slabtrace.capture.inspecting.memory import Chunk
from slabtrace.capture.inspecting.use import FREE, UNREAD, USED, SlabUse, States
from slabtrace.trace.format.batch import Int64, UInt64
from tests.unit.capture.inspecting.made_up import BASE, Memory, cache, scene

TARGETS, HOLDERS, DATA, LARGE_ONE = BASE + 0x4000, BASE + 0x8000, BASE + 0xC000, BASE + 0x1_0000
SMALL, LARGE = cache(BASE + 0x100, "small", 64), cache(BASE + 0x200, "large", 256)


def targets(*numbers: int) -> Targets:
    begin = np.array([TARGETS + 64 * each for each in numbers], np.uint64)
    return Targets(begin, np.full(len(begin), 64))


def found(memory: Memory, wanted: Targets, at: int = HOLDERS, length: int = 4096) -> Hits:
    result = search(memory, wanted, np.array([at], np.uint64), np.array([length]), lambda: True)
    assert result.whole and result.searched == length
    return result.hits


def test_the_begin_and_the_inside_of_an_object_are_hits_and_its_neighbours_are_not() -> None:
    memory = Memory()
    begin = TARGETS + 64 * 3
    memory.put(HOLDERS, begin - 1, begin, begin + 63, begin + 64, 0, (1 << 64) - 1)
    hits = found(memory, targets(3))
    assert hits.place.tolist() == [HOLDERS + 8, HOLDERS + 16]
    assert hits.value.tolist() == [begin, begin + 63]


def test_each_of_several_objects_gets_its_own_hits_in_any_order() -> None:
    memory = Memory()
    memory.put(HOLDERS + 800, TARGETS + 64 * 9, TARGETS + 64 * 1)
    wanted = targets(9, 1, 5)
    hits = found(memory, wanted)
    assert wanted.begin[hits.target].tolist() == [TARGETS + 64 * 9, TARGETS + 64 * 1]


def test_nothing_is_found_where_nothing_is_searched_for() -> None:
    memory = Memory()
    none = np.empty(0, np.uint64)
    result = search(memory, Targets(none, none.astype(np.int64)), np.array([BASE], np.uint64),
                    np.array([64]), lambda: True)  # fmt: skip
    assert not len(result.hits.place) and result.whole


def test_a_search_without_time_says_so() -> None:
    memory = Memory()
    result = search(
        memory, targets(0), np.array([BASE, HOLDERS], np.uint64), np.array([64, 64]), lambda: False
    )
    assert not result.whole and result.searched == 64


def test_what_cannot_be_read_does_not_count_as_searched() -> None:
    class Torn(Memory):
        def chunks(self, begin: UInt64, length: Int64) -> Iterator[Chunk]:
            for chunk in super().chunks(begin, length):
                yield chunk._replace(unread=24)

    found = search(Torn(), targets(0), np.array([HOLDERS], np.uint64), np.array([4096]), lambda: True)
    assert (found.searched, found.whole) == (4072, True)


class _Use(SlabUse):
    """Knows which objects are in use."""

    def __init__(self, free: Sequence[int] = (), unread: Sequence[int] = ()) -> None:
        self._state = dict.fromkeys(free, FREE) | dict.fromkeys(unread, UNREAD)

    def states_in_time(self, objects: UInt64) -> States:
        return np.array([self._state.get(each, USED) for each in objects.tolist()], np.int8)


def units(memory: Memory, free: Sequence[int] = (), unread: Sequence[int] = ()) -> Units:
    where = scene(memory, {}, (TARGETS, SMALL), (HOLDERS, LARGE)).where
    areas = [
        Area("data", "kernel data", DATA, 4096),
        Area("kmalloc", "kmalloc of 8192 bytes", LARGE_ONE, 8192),
    ]
    return Units(memory, where, _Use(free, unread), areas)


def test_pointers_are_those_of_objects_in_use_and_of_areas() -> None:
    memory, begin = Memory(), TARGETS + 64 * 2
    memory.put(HOLDERS + 256 + 40, begin)  # in use
    memory.put(HOLDERS + 512 + 8, begin)  # free
    memory.put(begin + 16, begin)  # its own
    memory.put(DATA + 24, begin + 17)
    wanted = targets(2)
    parts = [found(memory, wanted, at) for at in (TARGETS, HOLDERS, DATA)]
    hits = Hits(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    pointers = units(memory, [HOLDERS + 512]).pointers(hits, wanted.begin).found[begin]
    assert [(each.unit.begin, each.offset, each.inside) for each in pointers] == [
        (HOLDERS + 256, 40, 0),
        (DATA, 24, 16),  # the lowest bits are the kernel's own
    ]


def test_a_word_that_changed_since_is_left_out_and_its_object_is_doubtful() -> None:
    memory, begin = Memory(), TARGETS
    memory.put(HOLDERS, begin, begin + 64)
    wanted = targets(0, 1)
    hits = found(memory, wanted)
    memory.put(HOLDERS, 0)
    pointers = units(memory).pointers(hits, wanted.begin)
    assert (pointers.found.keys(), pointers.doubtful) == ({begin + 64}, {begin})


def test_what_is_free_leaves_no_doubt_and_what_cannot_be_read_does() -> None:
    memory, begin = Memory(), TARGETS
    memory.put(HOLDERS, begin)
    memory.put(HOLDERS + 256, begin + 64)
    wanted = targets(0, 1)
    pointers = units(memory, free=[HOLDERS], unread=[HOLDERS + 256]).pointers(
        found(memory, wanted), wanted.begin
    )
    assert (pointers.found, pointers.doubtful) == ({}, {begin + 64})


def test_of_many_pointers_to_one_object_some_are_kept_and_those_to_others() -> None:
    memory, begin = Memory(), TARGETS
    memory.put(HOLDERS, *[begin] * 500, begin + 64)
    wanted = targets(0, 1)
    pointers = units(memory).pointers(found(memory, wanted), wanted.begin).found
    assert (len(pointers[begin]), len(pointers[begin + 64])) == (64, 1)


def test_a_large_kmalloc_that_points_at_itself_is_not_its_own_holder() -> None:
    memory = Memory()
    memory.put(LARGE_ONE + 16, LARGE_ONE + 16)  # an empty list
    memory.put(DATA, LARGE_ONE)
    wanted = Targets(np.array([LARGE_ONE], np.uint64), np.array([8192]))
    parts = [found(memory, wanted, at) for at in (LARGE_ONE, DATA)]
    hits = Hits(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    (pointer,) = units(memory).pointers(hits, wanted.begin).found[LARGE_ONE]
    assert pointer.unit.begin == DATA


def test_a_sheaf_of_the_allocator_is_no_holder() -> None:
    memory, begin = Memory(), TARGETS
    memory.put(HOLDERS + 40, begin)
    memory.put(HOLDERS + 256 + 40, begin)
    wanted = targets(0)
    known = units(memory)
    known._stale = lambda objects: objects == np.uint64(HOLDERS)
    (pointer,) = known.pointers(found(memory, wanted), wanted.begin).found[begin]
    assert pointer.unit.begin == HOLDERS + 256
