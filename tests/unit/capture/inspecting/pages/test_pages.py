# SPDX-License-Identifier: Apache-2.0
"""Struct pages: slabs, pages of KFENCE, large kmallocs, other pages of the kernel; per-CPU data; stacks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slabtrace.capture.inspecting.holders.areas import area_pages, kfence_areas, stack_areas
from slabtrace.capture.inspecting.machine import Machine
from slabtrace.capture.inspecting.pages.others import OtherPages, OtherShape
from slabtrace.capture.inspecting.pages.outside import Outside
from slabtrace.capture.inspecting.physical import LargeShape, Pages, PageScan
from slabtrace.capture.inspecting.use import FREE, UNREAD, USED
from slabtrace.capture.kernel.features import SlabPageTest
from slabtrace.capture.slabs.slab_bytes import Objects
from tests.unit.capture.inspecting.made_up import BASE, Memory, cache, scene

STRUCTS = BASE  # the struct pages; the memory that they are of begins at PAGES
PAGES, NUMBER, SIZE = BASE + 0x1_0000, 16, 64
VMEMMAP = (STRUCTS - PAGES // 4096 * SIZE) % (1 << 64)
KERNEL: Any = SimpleNamespace(sizeof_page=SIZE, slab_page=SlabPageTest(48, 0xFF000000, 0xF5000000))
SLAB: Any = SimpleNamespace(slab_cache=8, freelist=16, counters=24)
LARGE = LargeShape(0xF8, 6)
OTHER = OtherShape(flags=0, mapping=24, mapcount=48, refcount=52, compound=8, excluded=1 << 5 | 1 << 12)
LRU, RESERVED, NO_TYPE, TO_TYPE = 1 << 5, 1 << 12, 0xFFFF_FFFF, 0xF500_0000
CACHE = BASE + 0x8000


class Kernel:
    """Sixteen pages, all free, in physical memory from 1 MiB on."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.ram = [range(1 << 20, (1 << 20) + NUMBER * 4096)]
        self.base = PAGES - (1 << 20)

    def page(self, number: int, *, flags: int = 0, compound: int = 0, freelist: int = 0, third: int = 0,
             kind: int = NO_TYPE, references: int = 1) -> int:  # fmt: skip
        """Write a struct page; `third`: the word that is the mapping, or a slab's counters."""
        at = STRUCTS + SIZE * number
        self.memory.put(at, flags, compound, freelist, third, 0, 0, references << 32 | kind)
        return PAGES + 4096 * number

    def scan(self, large: LargeShape | None = LARGE) -> PageScan:
        return PageScan(self.memory, KERNEL, SLAB, VMEMMAP, large)

    def pages(self) -> Pages:
        return self.scan().pages(self.ram, self.base, lambda: True)

    def others(self, *of_areas: int) -> list[tuple[int, int]]:
        finder = OtherPages(self.memory, OTHER, SIZE, VMEMMAP)
        found = finder.ranges(self.ram, self.base, np.array(of_areas, np.uint64), lambda: True)
        assert found.whole
        return [((int(at) - PAGES) // 4096, size // 4096) for at, size in zip(found.begin, found.length.tolist(), strict=True)]  # fmt: skip  # noqa: E501


def test_a_page_of_kfence_is_no_slab_and_is_searched() -> None:
    kernel = Kernel()
    slab = kernel.page(2, compound=CACHE, freelist=BASE, third=21 << 16 | 20, kind=TO_TYPE)
    guarded = kernel.page(5, compound=CACHE, third=1 << 16, kind=TO_TYPE)
    pages = kernel.pages()
    assert (pages.slabs.memory.tolist(), pages.kfence.memory.tolist()) == ([slab], [guarded])
    (area,) = kfence_areas(pages, {CACHE: cache(CACHE, "filp", 192)})
    assert (area.name, area.begin, area.length) == ("filp of KFENCE", guarded, 4096)


def test_objects_outside_of_slabs() -> None:
    kernel = Kernel()
    kernel.page(2, compound=CACHE, freelist=BASE, third=21 << 16 | 20, kind=TO_TYPE)
    guarded = kernel.page(5, compound=CACHE, third=1 << 16, kind=TO_TYPE)
    large = kernel.page(7, kind=0xF800_0000, references=0)
    outside = Outside(kernel.memory, kernel.scan(), range(PAGES, PAGES + NUMBER * 4096))
    outside.renew(kernel.pages())
    free = PAGES + 4096 * 9
    new_slab = PAGES + 4096 * 2
    of_cpu = 0x60FF_1234_5678
    asked = np.array([guarded + 4096 - 192, large, free, new_slab, of_cpu], np.uint64)
    assert outside.states(asked).tolist() == [USED, USED, FREE, UNREAD, UNREAD]
    assert (outside.size(large), outside.size(free)) == (4096, 0)


def test_a_page_is_not_called_free_where_large_kmallocs_are_not_marked() -> None:
    kernel = Kernel()
    outside = Outside(kernel.memory, kernel.scan(None), range(PAGES, PAGES + NUMBER * 4096))
    assert outside.states(np.array([kernel.page(7)], np.uint64)).tolist() == [UNREAD]


def test_other_pages_of_the_kernel_are_those_of_nobody_else() -> None:
    kernel = Kernel()
    for number in range(NUMBER):
        kernel.page(number, references=0)  # on a list of free pages
    kernel.page(1)
    kernel.page(2, compound=STRUCTS + SIZE + 1, references=0)  # the tail of 1
    kernel.page(4, flags=LRU)
    kernel.page(5, third=BASE)  # of a file
    kernel.page(6, flags=RESERVED)
    kernel.page(7, kind=0xFFFF_FF7F)  # of the buddy allocator
    kernel.page(8, kind=3)  # mapped by processes
    kernel.page(9)  # of a vmalloc area
    kernel.page(10, compound=STRUCTS + SIZE * 4 + 1, references=0)  # the tail of a page of the page cache
    kernel.page(12)
    assert kernel.others(STRUCTS + SIZE * 9) == [(1, 2), (12, 1)]


def test_a_scan_without_time_says_so() -> None:
    kernel = Kernel()
    assert not kernel.scan().pages(kernel.ram, kernel.base, lambda: False).whole


@pytest.mark.parametrize(("cpu_slab", "sheaves"), [(0, None), (0, SimpleNamespace(percpu=8)), (None, SimpleNamespace(percpu=8))])  # fmt: skip  # noqa: E501
def test_the_per_cpu_section_is_found_by_the_per_cpu_part_of_a_cache(cpu_slab: Any, sheaves: Any) -> None:
    """`cpu_slab` is the first field of struct kmem_cache, at 0."""
    machine = Machine.__new__(Machine)
    words = {CACHE: 0x3_5000, CACHE + 8: 0x3_6000}
    others: dict[str, Any] = {
        "_btf": SimpleNamespace(section_size=lambda name: 0x3_0000),
        "percpu": SimpleNamespace(bases={0: BASE, 1: BASE + 0x20_0000}),
        "slab_shape": SimpleNamespace(cpu_slab=cpu_slab, sheaves=sheaves),
        "walk": SimpleNamespace(u64=lambda address: words.get(address, 0)),
        "caches": {CACHE: None}, "base": BASE, "physical": SimpleNamespace(ram=[range(1 << 30)]),
    }  # fmt: skip
    for name, value in others.items():
        setattr(machine, name, value)
    assert machine.percpu_section() == range(0x3_0000)


def test_the_stacks_of_a_debug_kernel_are_searched_as_a_whole() -> None:
    memory = Memory()
    offsets = {
        "task_struct.stack": 0, "task_struct.thread.sp": 8, "task_struct.on_cpu": 16,
        "task_struct.stack_vm_area": 24, "vm_struct.nr_pages": 0, "task_struct.comm": 32,
        "task_struct.pid": 48, "task_struct.tgid": 56,
    }  # fmt: skip
    stack, task, area = BASE + 0x1_0000, BASE + 0x4000, BASE + 0x5000
    memory.put(task, stack, stack + 0x7F00, 0, area)
    memory.put(area, 8)  # pages: KASAN doubles the size of a stack
    (found,) = stack_areas(scene(memory, offsets, (BASE, cache(1, "it", 64))), np.array([task], np.uint64))
    assert (found.begin, found.length) == (stack + 0x7F00, 0x8000 - 0x7F00)


def test_pages_are_read_of_vmalloc_areas_alone() -> None:
    """What has the address of an area where another structure has it may have anything as its pages."""
    memory = Memory()
    offsets = {
        "vmap_area.va_start": 0, "vmap_area.vm": 8, "vm_struct.addr": 0, "vm_struct.size": 8,
        "vm_struct.pages": 16, "vm_struct.nr_pages": 24,
    }  # fmt: skip
    area, other, pages = BASE + 0x4000, BASE + 0x4100, BASE + 0x5000
    memory.put(area, 0xFFFF_C900_0000_0000, 3 << 12, pages, 2)  # two pages and a guard page
    memory.put(other, 0xFFFF_C900_0010_0000, 3 << 12, pages, 1 << 22)
    memory.put(pages, STRUCTS, STRUCTS + SIZE)
    maps = np.array([[0xFFFF_C900_0000_0000, area], [0xFFFF_C900_0010_0000, other]], np.uint64)
    it = scene(memory, offsets, (BASE, cache(1, "it", 64)))
    found = area_pages(it, Objects(np.array([BASE, BASE + 64], np.uint64), maps))
    assert found is not None and found.tolist() == [STRUCTS, STRUCTS + SIZE]
