# SPDX-License-Identifier: Apache-2.0
"""Texts of /proc as counters: a name, as `meminfo.MemFree`, and a number; memory is in bytes.

The formats: Documentation/filesystems/proc.rst and admin-guide/cgroup-v2.rst.  Texts may be copies that
somebody sent, so nothing about them is taken for granted: a line that does not read is left out.
"""

from __future__ import annotations

import re
from collections import Counter

from slabtrace.capture.kernel import slabinfo

Counters = dict[str, int]

KIB = 1024
# Of the 190 lines of /proc/vmstat, those that say of memory what meminfo does not.  Pages: these are bytes.
VMSTAT_PAGES = (
    "nr_free_pages", "nr_kernel_misc_reclaimable", "nr_zspages", "nr_iommu_pages", "nr_balloon_pages",
    "nr_gpu_active", "nr_gpu_reclaim", "nr_foll_pin_acquired", "nr_foll_pin_released",
)  # fmt: skip
VMSTAT_COUNTS = ("pgfree", "drop_pagecache", "drop_slab", "oom_kill")
VMALLOC_OTHERS = "vmalloc.(others)"
MOST_CALLERS = 128  # of vmalloc, of a text; the others are summed

_NUMBER = r"\d{1,18}"
_MEMINFO = re.compile(rf"^([\w()]+):[ \t]+({_NUMBER})( kB)?[ \t]*$", re.MULTILINE)
_VMSTAT = re.compile(rf"^(\w+) ({_NUMBER})[ \t]*$", re.MULTILINE)
_VMALLOC = re.compile(
    rf"^\S+[ \t]+{_NUMBER}(?: (?P<caller>(?!pages=)\S+)(?P<module> \[\S+\])?)?.*?"
    rf" pages=(?P<pages>{_NUMBER})\b",
    re.MULTILINE,
)
_ZONE = re.compile(r"^Node (\d+), zone +(\S+)$")
_BUDDY = re.compile(r"^Node (\d+), zone +(\S+)((?: +\d{1,18})+)[ \t]*$", re.MULTILINE)
_PCP = re.compile(rf"^ +count: +({_NUMBER})$", re.MULTILINE)


def meminfo(text: str) -> Counters:
    """Every line of /proc/meminfo: bytes, or a count for the few without a unit (HugePages_Total)."""
    return {
        f"meminfo.{name}": int(number) * (KIB if unit else 1) for name, number, unit in _MEMINFO.findall(text)
    }


def vmstat(text: str, page: int) -> Counters:
    """The lines of /proc/vmstat that are named above, and all `pgalloc_*` as one number of pages."""
    values = {name: int(number) for name, number in _VMSTAT.findall(text)}
    found = {f"vmstat.{name}": values[name] * page for name in VMSTAT_PAGES if name in values}
    found |= {f"vmstat.{name}": values[name] for name in VMSTAT_COUNTS if name in values}
    allocated = [number for name, number in values.items() if name.startswith("pgalloc_")]
    return found | ({"vmstat.pgalloc": sum(allocated)} if allocated else {})


def sockstat(text: str, page: int) -> Counters:
    """What sockets are charged, in bytes (in all network namespaces), and their number (in this one)."""
    found = {}
    for line in text.splitlines():
        protocol, _, rest = line.partition(":")
        words = rest.split()
        for name, number in zip(words[::2], words[1::2], strict=False):
            if re.fullmatch(_NUMBER, number):
                # `mem` is in pages (net/ipv4/proc.c: proto_memory_allocated), FRAG's `memory` in bytes
                found[f"sockstat.{protocol}.{name}"] = int(number) * (page if name == "mem" else 1)
    return found


def buddyinfo(text: str, page: int) -> Counters:
    """The free pages of the buddy allocator in bytes, by order, and by zone."""
    found: Counter[str] = Counter()
    for node, zone, numbers in _BUDDY.findall(text):
        for order, number in enumerate(numbers.split()):
            found[f"buddy.order.{order}"] += int(number) * (page << order)
            found[f"buddy.zone.{node}.{zone}"] += int(number) * (page << order)
    return dict(found)


def zoneinfo(text: str, page: int) -> Counters:
    """Free pages that CPUs keep for themselves, in bytes: they are in no other counter of free memory."""
    counts = _PCP.findall(text)
    return {"zoneinfo.pcp": sum(map(int, counts)) * page} if counts else {}


def vmallocinfo(text: str, page: int) -> Counters:
    """What vmalloc allocated, in bytes of pages, by caller as `function+0x1a [module]`.

    Areas without pages of their own (ioremap, vmap of pages that others own) are not counted.
    """
    found: Counter[str] = Counter()
    for line in _VMALLOC.finditer(text):
        caller = (line["caller"] or "(unknown)").partition("/")[0] + (line["module"] or "")
        found[f"vmalloc.{caller}"] += int(line["pages"]) * page
    largest = dict(found.most_common(MOST_CALLERS))
    others = sum(found.values()) - sum(largest.values())
    return {**largest, **({VMALLOC_OTHERS: others} if others else {})}


def proc_cgroups(text: str) -> Counters:
    """How many cgroups each controller has, dying ones included (/proc/cgroups)."""
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {f"cgroups.{row[0]}": int(row[2]) for row in rows if len(row) >= 3 and row[2].isdecimal()}


def cgroup_stat(text: str) -> Counters:
    """How many cgroups there are in cgroup2, and how many are dying (cgroup.stat of its root)."""
    return {
        f"cgroup2.{name}": int(number)
        for name, number in _VMSTAT.findall(text)
        if name.startswith(("nr_descendants", "nr_dying"))
    }


def slabs(text: str, page: int) -> Counters:
    """The pages of each slab cache, in bytes, by /proc/slabinfo."""
    return {f"slab.{row.name}": row.num_slabs * row.pagesperslab * page for row in slabinfo.parse(text)}


def allocinfo(text: str) -> Counters:
    """Bytes by place in the source, where the kernel profiles allocations (/proc/allocinfo, since 6.10)."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[0].isdecimal() and words[1].isdecimal():
            found[f"allocinfo.{' '.join(words[2:])}"] += int(words[0])
    return dict(found.most_common(MOST_CALLERS))
