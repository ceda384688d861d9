# SPDX-License-Identifier: Apache-2.0
"""What has the words that a search hit: objects of slabs that are in use, or other areas.

A hit in a free object is none: its words are what is left of an earlier one.  The words are read again, and
those that changed meanwhile are left out; but an object that such words pointed at is not lost for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from slabtrace.capture.inspecting.holders.search import Area, Hits
from slabtrace.capture.inspecting.memory import Bools, Memory
from slabtrace.capture.inspecting.use import FREE, UNREAD, USED, SlabUse
from slabtrace.capture.inspecting.where import Where
from slabtrace.trace.format.batch import Int64, UInt64

_MOST_POINTERS = 64  # to one object; chains.py follows fewer


class Unit(NamedTuple):
    """What has a pointer: an object of a slab (`cache` is its kmem_cache), or an area (`cache` is 0)."""

    begin: int
    cache: int
    area: Area | None


class Pointer(NamedTuple):
    """A pointer to an object: who has it, at which offset, and where it points to inside the object.

    `inside` is without the three lowest bits, in which the kernel keeps flags of its own.
    """

    unit: Unit
    offset: int
    inside: int


class Pointers(NamedTuple):
    """What points at objects, by their addresses; `doubtful`: objects of which a pointer may be missing here.

    It is missing where the words changed, or where it is not known whether what has them is in use.
    """

    found: dict[int, list[Pointer]]
    doubtful: set[int]


class Units:
    """Finds out who has the words of hits."""

    def __init__(
        self,
        memory: Memory,
        where: Where,
        use: SlabUse,
        areas: Sequence[Area],
        stale: Callable[[UInt64], Bools] = lambda objects: np.zeros(len(objects), np.bool_),
    ) -> None:
        """`stale`: which objects (by address) are the allocator's own, with words that nobody uses."""
        self._memory, self._where, self._use, self._stale = memory, where, use, stale
        self._areas = sorted(areas, key=lambda each: each.begin)
        self._begins = np.array([each.begin for each in self._areas], np.uint64)

    def pointers(self, hits: Hits, begins: UInt64) -> Pointers:
        """What points at the objects; `begins`: those of the targets.

        Pointers of an object to itself are left out.  Of one object at most _MOST_POINTERS are kept.
        """
        owners = self._where.find(hits.place)
        target = begins[hits.target]
        inside_slab = owners.object != 0
        other = owners.object != target
        hits, owner, cache, inside_slab = (
            hits.take(other), owners.object[other], owners.cache[other], inside_slab[other]
        )  # fmt: skip
        objects, which = np.unique(owner[inside_slab], return_inverse=True)
        state = np.full(len(hits.place), USED, np.int8)
        state[inside_slab] = np.where(self._stale(objects), FREE, self._use.states_in_time(objects))[which]
        same = self._memory.structs(hits.place, 8)[0][:, 0] == hits.value
        used = _some_of_each(hits.target, (state == USED) & same)
        found: dict[int, list[Pointer]] = {}
        columns = (hits.place, hits.value, begins[hits.target], owner, cache)
        for place, value, begin, at, of in zip(*(each[used].tolist() for each in columns), strict=True):
            unit = Unit(at, of, None) if at else self._area_unit(place)
            if unit is not None and not _is_in(begin, unit):
                pointer = Pointer(unit, place - unit.begin, (value - begin) & ~7)
                found.setdefault(begin, []).append(pointer)
        doubtful = begins[hits.target[(state == UNREAD) | ((state == USED) & ~same)]]
        return Pointers(found, set(doubtful.tolist()))

    def word(self, place: int) -> int:
        """The word at an address now; 0 if it cannot be read."""
        return self._memory.word(place)

    def _area_unit(self, place: int) -> Unit | None:
        area = self.area(place)
        return None if area is None else Unit(area.begin, 0, area)

    def area(self, place: int) -> Area | None:
        """The area that an address is in."""
        number = int(np.searchsorted(self._begins, np.uint64(place), "right")) - 1
        if number < 0:
            return None
        area = self._areas[number]
        return area if place < area.begin + area.length else None

    def unit(self, place: int) -> Unit | None:
        """The object or area that an address is in."""
        begin, cache = self._where.one(place)
        return Unit(begin, cache, None) if begin else self._area_unit(place)


def _is_in(address: int, unit: Unit) -> bool:
    """Is the object in the area that points at it: is that the object itself?"""
    area = unit.area
    return area is not None and area.begin <= address < area.begin + area.length


def _some_of_each(target: Int64, chosen: Bools) -> Bools:
    """`chosen`, but of the hits of one target at most _MOST_POINTERS, the first."""
    at = np.flatnonzero(chosen)
    at = at[np.argsort(target[at], kind="stable")]
    of = target[at]
    number = np.arange(len(at)) - np.searchsorted(of, of)
    some = np.zeros(len(chosen), np.bool_)
    some[at[number < _MOST_POINTERS]] = True
    return some
