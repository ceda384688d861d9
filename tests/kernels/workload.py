# SPDX-License-Identifier: Apache-2.0
"""What is done while slabtrace records in a guest, in prime numbers, and what it must have found.

The faults are functions of module/slabtrace_faults.c; each is known in the trace by its name in the
stack.  Checks read the trace on the host, through slabtrace's public interface.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import slabtrace

KEPT, EXCHANGED, PIPES, OPEN = 23, 1009, 101, 41
SMALL, LARGE = 200, 32 << 10  # bytes asked for by the module


@dataclass(frozen=True)
class Fault:
    """A function of the module and what it must leave: `kept` objects of `bytes_req` bytes each.

    `allocated`: how many allocations its call sites must show, if not `count`.
    """

    name: str
    count: int
    kept: int
    bytes_req: int = SMALL
    cache: str = r"kmalloc-(rnd-\d+-)?256"
    allocated: int = 0


FAULTS = (
    Fault("leak_kmalloc", 101, 101),
    Fault("leak_kzalloc", 103, 103),
    Fault("leak_node", 107, 107),
    Fault("leak_large", 13, 13, LARGE, r"\(large kmalloc\)"),
    Fault("leak_cache", 109, 109, SMALL, "slabtrace_object"),
    Fault("leak_krealloc", 113, 113, allocated=226),
    Fault("leak_krealloc_in_place", 127, 127),
    Fault("free_kmalloc", 131, 0),
    Fault("free_rcu", 137, 0),
    Fault("free_bulk", 139, 0, cache="slabtrace_object"),
    Fault("free_bulk_singly", 149, 0, cache="slabtrace_object"),
    Fault("free_singly_bulk", 151, 0),
    Fault("free_softirq", 157, 0),
    Fault("free_hardirq", 163, 0),
    Fault("free_other_cpu", 167, 0),
)


def script(leaver: Path, module: Path) -> str:
    """The shell script that is recorded.  The module is loaded in it, so its symbols come late."""
    lines = [f"/bin/busybox insmod {module}", f"{leaver} {KEPT} {EXCHANGED} {PIPES} {OPEN}"]
    lines += [f"echo {fault.name} {fault.count} > /proc/slabtrace_faults" for fault in FAULTS]
    return "\n".join(lines) + "\n"


# Sheaves (6.18) and the arrays that cgroups add to a slab.
_ITS_OWN = re.compile(r"(__pcs_\w+|\w*sheaf\w*|alloc_slab_obj_exts|memcg_alloc_\w+)\+0x")

Group = dict[str, Any]  # a row of one of slabtrace's tables


class Findings:
    """A trace, and questions to it."""

    def __init__(self, path: Path) -> None:
        self.trace = slabtrace.open(path)

    @cached_property
    def stacks(self) -> list[Group]:
        """What is outstanding, by stack."""
        return _rows(self.trace.outstanding("stack"))

    @cached_property
    def of_leaver(self) -> list[Group]:
        """The same, of what the leaver allocated."""
        return _rows(self.trace.outstanding("stack", comm=["leaver"]))

    @cached_property
    def call_sites(self) -> list[Group]:
        """What was allocated at each call site, whatever became of it."""
        return _rows(self.trace.stat("call_site"))


def _rows(table: Any) -> list[Group]:
    rows: list[Group] = table.to_dict("records")
    return rows


def made_by(groups: list[Group], function: str) -> list[Group]:
    """The groups allocated by a function (a pattern): not what the allocator did for itself on its way."""
    site = re.compile(rf"({function})(\.\w+)*\+0x")
    return [group for group in groups if site.match(group["symbol"])]


def through(groups: list[Group], function: str) -> list[Group]:
    """The groups whose stacks pass through a function, less what the slab allocator needs for itself."""
    return [
        group
        for group in groups
        if any(line.startswith(f"{function}+") for line in group["stack"])
        and not _ITS_OWN.match(group["symbol"])
    ]


def total(groups: list[Group], what: str) -> int:
    return sum(int(group[what]) for group in groups)


def equal(what: str, found: object, wanted: object) -> None:
    """A check that says what it found."""
    if found != wanted:
        raise AssertionError(f"{what}: {found}, not {wanted}")


def check_messages(findings: Findings) -> None:
    groups = made_by(findings.of_leaver, "load_msg|alloc_msg")
    equal("outstanding", total(groups, "outstanding"), KEPT)
    equal("allocated", total(groups, "allocated"), KEPT + EXCHANGED)
    equal("freed", total(groups, "freed"), EXCHANGED)
    equal("bytes asked for", total(groups, "bytes_req"), KEPT * 112)
    names = {group["cache"] for group in groups}
    if not names <= {"kmalloc-128", "kmalloc-cg-128", "msg_msg-128"} or len(names) != 1:
        raise AssertionError(f"caches: {names}")


def check_pipes(findings: Findings) -> None:
    """Each object of a pipe comes once, but files twice."""
    by_cache: dict[str, int] = {}
    for group in through(findings.of_leaver, "create_pipe_files"):
        by_cache[group["cache"]] = by_cache.get(group["cache"], 0) + group["outstanding"]
    equal("files", by_cache.get("filp"), 2 * OPEN)
    equal("inodes", by_cache.get("inode_cache"), OPEN)
    equal("dentries", by_cache.get("dentry"), OPEN)
    own = sorted(n for cache, n in by_cache.items() if cache.startswith("kmalloc"))
    equal("pipe_inode_info and its buffers", own, [OPEN, OPEN])


def check_fault(fault: Fault) -> Callable[[Findings], None]:
    """That exactly what a fault left is outstanding, in the right cache, with the right sizes."""

    def check(findings: Findings) -> None:
        groups = made_by(findings.stacks, fault.name)
        equal("outstanding", total(groups, "outstanding"), fault.kept)
        sites = made_by(findings.call_sites, fault.name)
        equal("allocated", total(sites, "hits"), fault.allocated or fault.count)
        equal("bytes asked for", total(groups, "bytes_req"), fault.kept * fault.bytes_req)
        for group in groups:
            frames = [line.partition("+")[0] for line in group["stack"]]
            equal("stack", (frames[0], "fault_write" in frames), (fault.name, True))
            if not re.fullmatch(fault.cache, group["cache"]):
                raise AssertionError(f"cache: {group['cache']}, not {fault.cache}")

    return check


def checks() -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of all that is asked of one recording."""
    yield "messages", check_messages
    yield "pipes", check_pipes
    for fault in FAULTS:
        yield fault.name, check_fault(fault)
