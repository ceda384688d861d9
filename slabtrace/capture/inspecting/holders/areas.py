# SPDX-License-Identifier: Apache-2.0
"""What is searched beside slabs: kernel data, per-CPU areas, stacks, vmalloc areas, kmallocs, struct pages.

Left out: mapped device memory, which must not be read; memory of BPF maps and perf buffers, where slabtrace
itself keeps addresses of objects; and of stacks what is below the stack pointer, where old words lie.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slabtrace.capture.inspecting.holders.files import pointers
from slabtrace.capture.inspecting.holders.search import Area
from slabtrace.capture.inspecting.kinds.kind import KERNEL, Scene
from slabtrace.capture.inspecting.kinds.tasks import task_name
from slabtrace.capture.inspecting.physical import Pages, PhysicalMemory
from slabtrace.capture.kernel.kallsyms import Kallsyms
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.format.batch import UInt64

_ALLOCATED = 0x2 | 0x4  # VM_ALLOC, VM_MAP of include/linux/vmalloc.h
_IOREMAP, _NO_GUARD = 0x1, 0x40
_STACK_BYTES = 16384  # THREAD_SIZE of x86-64 and arm64 without KASAN, where stacks do not say how large
_LARGEST_STACK = 1 << 17
_PAGE = 4096
_PERCPU_DYNAMIC = (28 + 8) << 10  # PERCPU_DYNAMIC_RESERVE, and what modules have reserved
_IMAGE = ("Kernel data", "Kernel bss", "Kernel rodata")  # rodata: what was written while booting
_OURS = ("bpf_map_area", "array_map", "htab_map", "bpf_ringbuf", "stack_map", "bpf_map_kmalloc",
         "rb_alloc", "perf_")  # fmt: skip
_STACKS = ("alloc_thread_stack", "dup_task_struct", "copy_process", "kernel_clone")


def image_areas(physical: PhysicalMemory, base: int) -> list[Area]:
    """The kernel's .data and .bss, read where the direct map has them."""
    return [
        Area("data", name.lower(), base + each.start, len(each) // 8 * 8)
        for name, each in physical.image.items()
        if name in _IMAGE
    ]


def percpu_areas(bases: dict[int, int], section: range) -> list[Area]:
    """The first chunk of each CPU; further chunks are vmalloc areas."""
    length = (len(section) + _PERCPU_DYNAMIC) // 8 * 8
    return [
        Area("percpu", f"per-CPU data of CPU {cpu}", (section.start + base) % (1 << 64), length)
        for cpu, base in bases.items()
        if section
    ]


def page_areas(ram: list[range], base: int, vmemmap: int, sizeof_page: int) -> list[Area]:
    """The struct pages of these ranges of physical memory."""
    areas = []
    for each in ram:
        first, last = -(-(base + each.start) // _PAGE), (base + each.stop) // _PAGE
        begin = (vmemmap + first * sizeof_page) % (1 << 64)
        areas.append(Area("page", "struct pages", begin, (last - first) * sizeof_page // 8 * 8))
    return areas


def large_areas(pages: Pages) -> list[Area]:
    """Large kmallocs, each an area."""
    return [
        Area("kmalloc", f"kmalloc of {size} bytes", at, size)
        for at, size in zip(pages.large.tolist(), pages.large_bytes.tolist(), strict=True)
    ]


def kfence_areas(pages: Pages, caches: Mapping[int, SlabCache]) -> list[Area]:
    """The pages of KFENCE; those of free objects cannot be read."""
    return [
        Area("kfence", f"{caches[cache].name} of KFENCE" if cache in caches else "KFENCE", page, _PAGE)
        for page, cache in zip(pages.kfence.memory.tolist(), pages.kfence.cache.tolist(), strict=True)
    ]


def stack_areas(scene: Scene, tasks: UInt64) -> list[Area]:
    """The stacks of these tasks, from the stack pointer on; whole ones of those that run."""
    at = scene.layout
    if not at.has("task_struct.stack", "task.stack_pointer", "task_struct.on_cpu"):
        return []
    stacks, pointers = scene.words(tasks, "task_struct.stack"), scene.words(tasks, "task.stack_pointer")
    sizes = _stack_sizes(scene, tasks)
    areas = []
    for task, stack, pointer, size in zip(
        tasks.tolist(), stacks.tolist(), pointers.tolist(), sizes, strict=True
    ):
        if stack <= int(KERNEL):
            continue  # a zombie has none any more
        sleeps = stack <= pointer < stack + size and not scene.half(task, "task_struct.on_cpu")
        begin = pointer & ~7 if sleeps else stack
        areas.append(Area("stack", f"stack of {task_name(scene, task)}", begin, stack + size - begin))
    return areas


def _stack_sizes(scene: Scene, tasks: UInt64) -> list[int]:
    """Bytes of each stack, by its vmalloc area (CONFIG_VMAP_STACK): with KASAN stacks are twice as large."""
    if not scene.layout.has("task_struct.stack_vm_area", "vm_struct.nr_pages"):
        return [_STACK_BYTES] * len(tasks)
    areas = scene.words(tasks, "task_struct.stack_vm_area").tolist()
    sizes = (scene.half(each, "vm_struct.nr_pages") * _PAGE for each in areas)
    return [size if 0 < size <= _LARGEST_STACK else _STACK_BYTES for size in sizes]


def vmalloc_areas(scene: Scene, found: Objects, kallsyms: Kallsyms) -> list[Area]:
    """The vmalloc areas among objects in use of the cache vmap_area, by who made them; no stacks."""
    at = scene.layout
    needed = ("vmap_area.va_start", "vmap_area.vm", "vm_struct.addr", "vm_struct.size", "vm_struct.flags",
              "vm_struct.caller")  # fmt: skip
    if not at.has(*needed):
        return []
    start, vm = found.u64(at["vmap_area.va_start"]), found.u64(at["vmap_area.vm"])
    some = vm > KERNEL
    start, vm = start[some], vm[some]
    columns = {name: scene.words(vm, f"vm_struct.{name}") for name in ("addr", "size", "flags", "caller")}
    right = (columns["addr"] == start) & (columns["flags"] & np.uint64(_ALLOCATED) != 0)
    right &= columns["flags"] & np.uint64(_IOREMAP) == 0
    areas = []
    for begin, size, flags, caller in zip(
        *(columns[name][right].tolist() for name in ("addr", "size", "flags", "caller")), strict=True
    ):
        symbol = kallsyms.resolve(caller)
        name = symbol.name if symbol else ""
        if not name.startswith((*_OURS, *_STACKS)):
            length = size - (0 if flags & _NO_GUARD else _PAGE)
            areas.append(Area("vmalloc", f"vmalloc area of {name or hex(caller)}", begin, length))
    return areas


def area_pages(scene: Scene, found: Objects) -> UInt64 | None:
    """The struct pages of all vmalloc areas, ascending; None if this kernel does not say which they are."""
    at = scene.layout
    needed = ("vmap_area.va_start", "vmap_area.vm", "vm_struct.addr", "vm_struct.pages", "vm_struct.nr_pages",
              "vm_struct.size")  # fmt: skip
    if not at.has(*needed) or not len(found.address):
        return None
    start, areas = found.u64(at["vmap_area.va_start"]), found.u64(at["vmap_area.vm"])
    start, areas = start[areas > KERNEL], areas[areas > KERNEL]
    areas = areas[scene.words(areas, "vm_struct.addr") == start]  # others were freed meanwhile
    arrays, sizes = scene.words(areas, "vm_struct.pages"), scene.words(areas, "vm_struct.size")
    counts = [scene.half(each, "vm_struct.nr_pages") for each in areas.tolist()]
    parts = [
        pointers(scene.memory, array, count)
        for array, count, size in zip(arrays.tolist(), counts, sizes.tolist(), strict=True)
        if array > int(KERNEL) and array % 8 == 0 and 0 < count <= size // _PAGE  # else it is no array
    ]
    return np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))
