# SPDX-License-Identifier: Apache-2.0
"""What all memory is used for, so that the parts add up to MemTotal: each page is in one part.

The counters are those of /proc/meminfo (fs/proc/meminfo.c, Documentation/filesystems/proc.rst), corrected
where it counts a page twice or not at all: kernel stacks are vmalloc memory, Cached has tmpfs in it, a
kmalloc of whole pages counts as slab but belongs to no cache, free pages in CPUs' own lists count nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from slabtrace.analysis.memory.series import Series, Values

USER, SHARED, CACHE, SLAB, LARGE = "user", "tmpfs", "page cache", "slab", "large kmalloc"
TABLES, STACKS, VMALLOC, PERCPU = "page tables", "kernel stacks", "vmalloc", "percpu"
HUGE, OTHER, UNCOUNTED, FREE = "hugepages", "other counters", "not counted", "free"
SOCKETS, PIPES = "sockets", "pipes"  # memory that is in other parts as well

STACK_CALLERS = ("kernel_clone", "copy_process", "dup_task_struct", "alloc_thread_stack_node", "fork_idle")
# Counters of meminfo that are in no other part: compressed swap, bounce buffers, pages of GPUs (6.19).
OTHERS = ("meminfo.Zswap", "meminfo.Bounce", "meminfo.GPUActive", "meminfo.GPUReclaim")

ESSENTIAL = ("MemFree", "AnonPages", "Cached", "Slab")


class Part(NamedTuple):
    """A part of memory: its name, what it is in a few words, and how its bytes follow from counters."""

    name: str
    says: str
    bytes: Callable[[Series], Values]


def stacks_are_vmalloc(series: Series) -> bool:
    """Whether kernel stacks are in VmallocUsed (CONFIG_VMAP_STACK), as vmallocinfo says; if unknown, yes."""
    callers = series.named("vmalloc.")
    if not callers:
        return True
    stacks = sum(float(np.nan_to_num(each[-1])) for name, each in callers.items() if is_stack(name))
    return stacks >= float(np.nan_to_num(series.of("meminfo.KernelStack")[-1])) / 2


def is_percpu(caller: str) -> bool:
    """Whether this caller of vmalloc keeps the books of per-CPU memory.

    They are as large as the memory itself on a machine with 2 CPUs (mm/percpu-vm.c: pcpu_create_chunk): most
    is `obj_exts`, a pointer for each 4 bytes of an area, where memory is charged to cgroups.
    """
    return caller.startswith("pcpu_")


def is_stack(caller: str) -> bool:
    """Whether this caller of vmalloc allocates kernel stacks."""
    return caller.partition("+")[0].partition(".")[0] in STACK_CALLERS


def _vmalloc(series: Series) -> Values:
    used = series.of("meminfo.VmallocUsed")
    if not np.nan_to_num(used).any() and (callers := series.named("vmalloc.")):
        used = _sum(list(callers.values()))  # Linux 4.4 to 5.2 show 0
    used = used - _percpu_books(series)
    return used - series.of("meminfo.KernelStack") if stacks_are_vmalloc(series) else used


def _percpu_books(series: Series) -> Values:
    books = [each for name, each in series.named("vmalloc.").items() if is_percpu(name)]
    return np.nan_to_num(np.sum(books, axis=0)) if books else np.zeros(len(series.ts_ns))


def _slab(series: Series) -> Values:
    """The pages of slab caches; where slabinfo cannot be read, large kmalloc is in it."""
    caches = series.named("slab.")
    return _sum(list(caches.values())) if caches else series.of("meminfo.Slab")


def _large(series: Series) -> Values:
    """Slab less the pages of all caches: kmalloc of over two pages (mm/slub.c: ___kmalloc_large_node)."""
    return series.of("meminfo.Slab") - _slab(series) if series.named("slab.") else series.of("")


def _other(series: Series) -> Values:
    misc = series.of("meminfo.KReclaimable") - series.of("meminfo.SReclaimable")
    return _sum([misc, *(series.of(name) for name in OTHERS)])


def _free(series: Series) -> Values:
    return _sum([series.of("meminfo.MemFree"), series.of("zoneinfo.pcp")])


def _uncounted(series: Series) -> Values:
    """What is left; not known (NaN) where a counter of much memory is not."""
    counted = _sum([part.bytes(series) for part in PARTS if part.name != UNCOUNTED])
    rest: Values = series.of("meminfo.MemTotal") - counted
    return rest + 0 * sum(series.of(f"meminfo.{name}") for name in ESSENTIAL)


PARTS = (
    Part(USER, "processes' own memory (AnonPages)", lambda s: s.of("meminfo.AnonPages")),
    Part(SHARED, "files on tmpfs, shared memory (Shmem)", lambda s: s.of("meminfo.Shmem")),
    Part(
        CACHE,
        "contents of files; most of it is given up when memory is short (Cached - Shmem + Buffers)",
        lambda s: _sum([s.of("meminfo.Cached"), s.of("meminfo.Buffers")]) - _sum([s.of("meminfo.Shmem")]),
    ),
    Part(SLAB, "slab caches (slabinfo)", _slab),
    Part(LARGE, "kmalloc of whole pages: in SUnreclaim, in no slab cache (Slab - slabinfo)", _large),
    Part(
        TABLES,
        "page tables (PageTables + SecPageTables)",
        lambda s: _sum([s.of("meminfo.PageTables"), s.of("meminfo.SecPageTables")]),
    ),
    Part(STACKS, "kernel stacks of tasks (KernelStack)", lambda s: s.of("meminfo.KernelStack")),
    Part(
        VMALLOC,
        "vmalloc without kernel stacks and the bookkeeping of percpu (VmallocUsed - KernelStack)",
        _vmalloc,
    ),
    Part(
        PERCPU,
        "per-CPU memory: cgroups, BPF maps, network, mounts (Percpu), and vmalloc for its bookkeeping",
        lambda s: s.of("meminfo.Percpu") + _percpu_books(s),
    ),
    Part(HUGE, "reserved huge pages (Hugetlb)", lambda s: s.of("meminfo.Hugetlb")),
    Part(OTHER, "other counters (Zswap, Bounce, GPU, KReclaimable - SReclaimable)", _other),
    Part(
        UNCOUNTED,
        "pages that no counter counts: pipes, page fragments of sockets and drivers, rings, DMA",
        _uncounted,
    ),
    Part(FREE, "free pages (MemFree, and those in CPUs' own lists)", _free),
)  # fmt: skip
NAMES = tuple(part.name for part in PARTS)
NOT_IN_USE = (FREE, CACHE)  # the kernel gives page cache up by itself


def parts(series: Series) -> dict[str, Values]:
    """Bytes of each part over time, shape (n,); NaN where its counter is not known."""
    return {part.name: part.bytes(series) for part in PARTS}


def in_use(found: dict[str, Values]) -> Values:
    """Memory in use: all but free pages and page cache."""
    return _sum([each for name, each in found.items() if name not in NOT_IN_USE])


def items(series: Series) -> dict[tuple[str, str], Values]:
    """What parts consist of, by (part, item): slab caches, callers of vmalloc; and sockets by protocol."""
    found = {(SLAB, name): each for name, each in series.named("slab.").items()}
    found[PERCPU, "Percpu"] = series.of("meminfo.Percpu")
    for name, each in series.named("vmalloc.").items():
        if not is_stack(name):
            found[PERCPU if is_percpu(name) else VMALLOC, name] = each
    for name, each in series.named("sockstat.").items():
        protocol, _, what = name.partition(".")
        if what in ("mem", "memory"):
            found[SOCKETS, protocol] = each
    found |= {(PIPES, name): each for name, each in series.named("pipes.").items() if name == "bytes"}
    return found


def _sum(values: list[Values]) -> Values:
    """The sum of those that are known at each time; NaN where none is."""
    stacked = np.stack(values)
    total: Values = np.where(np.isnan(stacked).all(axis=0), np.nan, np.nansum(stacked, axis=0))
    return total
