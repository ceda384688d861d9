# SPDX-License-Identifier: Apache-2.0
"""Free objects in made-up sheaves: of CPUs, and full ones in a node's barn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slabtrace.capture.slabs.shape import SheafShape
from slabtrace.capture.slabs.sheaves import Sheaves
from tests.unit.capture.inspecting.made_up import BASE, Memory
from tests.unit.capture.inspecting.test_free_lists import SHAPE
from tests.unit.capture.slabs.test_known_caches import cache

CACHE, OF_CPUS, BARN, SHEAVES = BASE + 0x100, BASE + 0x1000, BASE + 0x8000, BASE + 0x9000
SHEAF = SheafShape(
    percpu=24,
    of_cpu=(8, 16, 24),
    cache=24,
    size=36,
    objects=40,
    barn=0,
    barn_in_node=False,
    barn_link=0,
    barn_full=16,
)
LISTS = replace(SHAPE, sheaves=SHEAF)


class Kernel(Memory):
    """A cache; its per-CPU sheaves are 64 bytes apart."""

    def __init__(self, cpus: int) -> None:
        super().__init__()
        self.cpus, self.calls, self._made = cpus, 0, 0
        self.at_call: dict[int, Callable[[], None]] = {}  # what other CPUs do before a call
        self.put(CACHE + SHEAF.percpu, OF_CPUS)
        self.put(CACHE + SHAPE.nodes, BARN)
        self.put(BARN + SHEAF.barn_full, BARN + SHEAF.barn_full)

    def u64(self, address: int) -> int:
        return int(super().structs(np.array([address], np.uint64), 8)[0][0, 0])

    def structs(self, address: Any, size: int) -> Any:
        self.calls += 1
        self.at_call.get(self.calls, lambda: None)()
        return super().structs(address, size)

    def addresses(self, pointer: int) -> list[int]:
        return [pointer + 64 * cpu for cpu in range(self.cpus)]

    def sheaf(self, *objects: int, of: int = CACHE) -> int:
        at = SHEAVES + 0x400 * self._made
        self._made += 1
        self.put(at + SHEAF.cache, of, len(objects) << 32)
        if objects:
            self.put(at + SHEAF.objects, *objects)
        return at

    def objects(self) -> list[int]:
        it: Any = self
        found: list[int] = Sheaves(it, self, LISTS, it, cache(CACHE, "it")).objects().tolist()
        return found


def test_all_sheaves_of_all_cpus_and_the_full_ones_of_the_barn() -> None:
    kernel = Kernel(cpus=3)
    kernel.put(OF_CPUS + 8, kernel.sheaf(7, 5), 0, kernel.sheaf(9))
    kernel.put(OF_CPUS + 64 + 8, kernel.sheaf(), kernel.sheaf(3))
    first, second = kernel.sheaf(11, 12), kernel.sheaf(13)
    kernel.put(BARN + SHEAF.barn_full, first)
    kernel.put(first, second)
    kernel.put(second, BARN + SHEAF.barn_full)
    assert kernel.objects() == [3, 5, 7, 9, 11, 12, 13]


@pytest.mark.parametrize("cpus", [2, 128])
def test_it_takes_four_system_calls_for_any_number_of_cpus(cpus: int) -> None:
    kernel = Kernel(cpus)
    for cpu in range(cpus):
        kernel.put(OF_CPUS + 64 * cpu + 8, kernel.sheaf(100 + cpu) if cpu < 50 else 0)
    assert kernel.objects() == [100 + cpu for cpu in range(min(cpus, 50))]
    assert kernel.calls == 4


def test_what_is_no_sheaf_of_the_cache_has_no_objects() -> None:
    """As a barn's other list, in which a list of full sheaves ends at the moment at which one goes there."""
    kernel = Kernel(cpus=1)
    kernel.put(OF_CPUS + 8, kernel.sheaf(7), kernel.sheaf(5, 6, of=0), kernel.sheaf(3, of=CACHE + 0x200))
    assert kernel.objects() == [7]


def test_objects_of_a_sheaf_that_is_emptied_meanwhile_are_in_use() -> None:
    """The addresses stay behind its last object."""
    kernel = Kernel(cpus=1)
    emptied = kernel.sheaf(7, 5, 3)
    kernel.put(OF_CPUS + 8, emptied, kernel.sheaf(9))
    kernel.at_call[4] = lambda: kernel.put(emptied + 32, 1 << 32)
    assert kernel.objects() == [7, 9]


def test_a_list_of_full_sheaves_that_never_ends_is_left_and_a_wrong_size_is_bounded() -> None:
    kernel = Kernel(cpus=1)
    circle = kernel.sheaf(5)
    kernel.put(circle + 32, 1_000_000 << 32)  # the memory behind it is all 0
    kernel.put(BARN + SHEAF.barn_full, circle)
    kernel.put(circle, circle)
    assert set(kernel.objects()) <= {0, 5}


def test_without_the_cpus_a_cache_with_sheaves_is_not_read() -> None:
    with pytest.raises(ValueError, match="sheaves"):
        Kernel(cpus=0).objects()
