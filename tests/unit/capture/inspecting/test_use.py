# SPDX-License-Identifier: Apache-2.0
"""In use, free, or not known: what cannot be read is not taken for free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest

from slabtrace.analysis.holders.classes import class_of
from slabtrace.capture.inspecting.answers import rows
from slabtrace.capture.inspecting.holders.chains import NO_CHAIN
from slabtrace.capture.inspecting.in_use import InUse
from slabtrace.capture.inspecting.kinds.catalogue import Catalogue
from slabtrace.capture.inspecting.kinds.kind import Described, Kind, Scene
from slabtrace.capture.inspecting.layout import Layout
from slabtrace.capture.inspecting.things import Things
from slabtrace.capture.inspecting.use import FREE, UNREAD, USED, SlabUse, States
from slabtrace.capture.inspecting.where import Where
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.format.batch import UInt64
from tests.unit.capture.inspecting.made_up import BASE, Fields
from tests.unit.capture.inspecting.test_free_lists import SHAPE
from tests.unit.capture.inspecting.test_in_use import CACHE, IT, OBJECTS, STRUCT, Kernel

OUTSIDE = BASE + 0x1_0000


def outside(addresses: UInt64) -> States:
    return np.where(addresses == OUTSIDE, USED, UNREAD).astype(np.int8)


class Slabs(Kernel):
    """Slabs of one cache, and who says which objects are in use."""

    def use(self, unreadable: bool = False) -> SlabUse:
        self.where = Where(self.slabs(), {CACHE: IT})

        def in_use(cache: SlabCache) -> InUse:
            if unreadable:
                raise ValueError("its lists cannot be read")
            return self.reader

        return SlabUse(self.memory, self.where, {CACHE: IT}, in_use, SHAPE.slab_cache, outside)

    def states(self, *objects: int, unreadable: bool = False) -> list[int]:
        states: list[int] = self.use(unreadable).states(np.array(objects, np.uint64)).tolist()
        return states


def two_slabs() -> Slabs:
    kernel = Slabs()
    kernel.slab(free=[2])
    kernel.slab(free=[0])
    return kernel


def test_objects_are_in_use_or_free() -> None:
    kernel = two_slabs()
    asked = [kernel.object(1, 0), kernel.object(0, 2), kernel.object(0, 1), kernel.object(1, 1)]
    assert kernel.states(*asked) == [FREE, FREE, USED, USED]


def test_a_slab_that_changes_all_the_while_says_nothing_of_its_objects() -> None:
    kernel = two_slabs()
    kernel.memory.put(STRUCT + SHAPE.counters, OBJECTS << 16 | 1)  # more in use than its list says
    assert kernel.states(kernel.object(0, 1), kernel.object(1, 1)) == [UNREAD, USED]


def test_a_cache_whose_lists_cannot_be_read_says_nothing() -> None:
    kernel = two_slabs()
    assert kernel.states(kernel.object(0, 1), unreadable=True) == [UNREAD]


def test_objects_of_a_slab_that_another_cache_has_by_now_are_free() -> None:
    kernel = two_slabs()
    use = kernel.use()
    kernel.memory.put(STRUCT + SHAPE.slab_cache, CACHE + 64)
    asked = np.array([kernel.object(0, 1), kernel.object(1, 1)], np.uint64)
    assert use.states(asked).tolist() == [FREE, USED]


def test_of_objects_in_no_slab_somebody_else_knows() -> None:
    assert two_slabs().states(OUTSIDE, OUTSIDE + 4096) == [USED, UNREAD]


@pytest.mark.parametrize(("at", "held"), [(1, "unknown"), (OUTSIDE, "lost")])
def test_what_cannot_be_read_is_not_described_as_free_and_not_as_lost(at: int, held: str) -> None:
    kernel = two_slabs()
    use = kernel.use()
    kernel.memory.put(STRUCT + SHAPE.counters, OBJECTS << 16 | 1)
    layout = Layout(Fields({}))
    scene = Scene(kernel.memory, layout, kernel.where)
    things = Things(scene, Catalogue(layout, None), use, lambda cache: [cache.name], lambda address: 8192)
    asked = np.array([kernel.object(0, 1) if at == 1 else at], np.uint64)
    (row,) = rows(things.describe(asked), {int(asked[0]): NO_CHAIN}, {})
    assert class_of(row.in_use, row.kind, row.references, row.held, whole=True) == held


class Changing(Kind):
    """Objects that are something else, or have something else in them, at each reading."""

    name = "sock"

    def __init__(self, said: Callable[[int], Described]) -> None:
        self._said, self._readings = said, count()

    def describe(self, scene: Scene, objects: Objects) -> list[Described]:
        return [self._said(next(self._readings)) for _ in objects.address]


class OneKind(Catalogue):
    """Everything is of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def classify(self, scene: Scene, names: Sequence[str], objects: Objects) -> list[tuple[Kind, Objects]]:
        return [(self._kind, objects)]


@pytest.mark.parametrize(
    ("said", "described"),
    [
        (
            lambda reading: Described("of nginx", 3 + reading, f"({reading} queued)"),
            ("sock", "of nginx (1 queued)", 4),
        ),
        (lambda reading: Described(f"of process {reading}", 3), ("", "", None)),
    ],
)
def test_what_a_socket_has_queued_may_change_and_not_whose_it_is(
    said: Callable[[int], Described], described: tuple[Any, ...]
) -> None:
    kernel = two_slabs()
    use = kernel.use()
    scene = Scene(kernel.memory, Layout(Fields({})), kernel.where)
    things = Things(scene, OneKind(Changing(said)), use, lambda cache: [cache.name], lambda address: 0)
    (thing,) = things.describe(np.array([kernel.object(0, 1)], np.uint64))
    assert thing.in_use and (thing.kind, thing.description, thing.references) == described
