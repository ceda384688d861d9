# SPDX-License-Identifier: Apache-2.0
"""Counters of a small machine, in which every page has its place."""

from __future__ import annotations

from collections.abc import Sequence

from slabtrace.analysis.memory.series import Series, from_samples

MIB = 1 << 20
# 1,000 MiB: 16 of them in no counter, 8 in large kmalloc, 4 in CPUs' own lists of free pages.
BEFORE = {
    "meminfo.MemTotal": 1000, "meminfo.MemFree": 496, "zoneinfo.pcp": 4,
    "meminfo.AnonPages": 100, "meminfo.Cached": 130, "meminfo.Shmem": 30, "meminfo.Buffers": 10,
    "meminfo.Slab": 108, "meminfo.SReclaimable": 40, "meminfo.KReclaimable": 42,
    "slab.dentry": 40, "slab.kmalloc-1k": 60,
    "meminfo.PageTables": 19, "meminfo.SecPageTables": 1,
    "meminfo.KernelStack": 16, "meminfo.VmallocUsed": 56,
    "vmalloc.kernel_clone+0xb8": 16, "vmalloc.htab_map_alloc+0x2e4": 20, "vmalloc.load_module+0x1": 10,
    "vmalloc.pcpu_create_chunk+0x217": 10,
    "meminfo.Percpu": 20, "meminfo.Hugetlb": 22,
}  # fmt: skip
PARTS = {
    "user": 100, "tmpfs": 30, "page cache": 110, "slab": 100, "large kmalloc": 8, "page tables": 20,
    "kernel stacks": 16, "vmalloc": 30, "percpu": 30, "hugepages": 22, "other counters": 2,
    "not counted": 32, "free": 500,
}  # fmt: skip


def series(*samples: dict[str, float], seconds: Sequence[int] = ()) -> Series:
    """Samples in MiB (cgroups: counts), one each second, the first with what BEFORE has."""
    times = seconds or range(len(samples))
    first, *rest = samples
    return from_samples(
        [
            (at * 10**9, {name: _number(name, value) for name, value in each.items()})
            for at, each in zip(times, [BEFORE | first, *rest], strict=True)
        ]
    )


def _number(name: str, value: float) -> int:
    return int(value if name.startswith("cgroup") else value * MIB)
