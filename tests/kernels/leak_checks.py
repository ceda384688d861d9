# SPDX-License-Identifier: Apache-2.0
"""Checks of a recording: the workload's leaks, and the faults that free all they allocate.

The host runs them, through slabtrace's public interface.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import slabtrace
from slabtrace.trace.format.schema import Kind
from tests.kernels.workload import EXCHANGED, FAULTS, KEPT, OPEN, Fault

# Objects freed through silent paths, by fault: the kind of free, and how many.
SILENT = {
    "free_rcu": (Kind.KFREE_RCU, 137),
    "free_bulk": (Kind.BULK_FREE, 139),
    "free_singly_bulk": (Kind.BULK_FREE, 151),
    "free_bulk_singly": (Kind.CACHE_FREE, 149),  # allocated through one
}

# The slab allocator's own objects: sheaves (6.18), and arrays for the cgroups of the objects in a slab.
_ITS_OWN = re.compile(r"(__pcs_\w+|\w*sheaf\w*|alloc_slab_obj_exts|memcg_alloc_\w+)\+0x")

Group = dict[str, Any]  # a row of one of slabtrace's tables


class Findings:
    """A trace, and the tables that the checks read."""

    def __init__(self, path: Path) -> None:
        self.trace = slabtrace.open(path)

    @cached_property
    def stacks(self) -> list[Group]:
        """Outstanding objects, by stack."""
        return _rows(self.trace.outstanding("stack"))

    @cached_property
    def of_leaver(self) -> list[Group]:
        """The same, of what the leaver allocated."""
        return _rows(self.trace.outstanding("stack", comm=["leaver"]))

    @cached_property
    def lifetimes(self) -> list[Group]:
        """Every object that was allocated and freed: see analysis.grouping.joins.LIFETIME."""
        return [row for batch in self.trace.lifetimes() for row in batch.to_pylist()]

    @cached_property
    def mismatches(self) -> list[Group]:
        """Every mismatch."""
        return _rows(self.trace.mismatches())

    @cached_property
    def call_sites(self) -> list[Group]:
        """Allocations by call site, freed or not."""
        return _rows(self.trace.stat("call_site"))


def _rows(table: Any) -> list[Group]:
    rows: list[Group] = table.to_dict("records")
    return rows


def made_by(groups: list[Group], function: str) -> list[Group]:
    """The groups whose call site is in a function (a pattern), without the allocator's own objects."""
    site = re.compile(rf"({function})(\.\w+)*\+0x")
    return [group for group in groups if site.match(group["symbol"])]


def through(groups: list[Group], function: str) -> list[Group]:
    """The groups with a function in their stack, without the allocator's own objects."""
    return [
        group
        for group in groups
        if any(line.startswith(f"{function}+") for line in group["stack"])
        and not _ITS_OWN.match(group["symbol"])
    ]


def total(groups: list[Group], what: str) -> int:
    return sum(int(group[what]) for group in groups)


def equal(what: str, found: object, wanted: object) -> None:
    """Raise AssertionError, with both values, if they differ."""
    if found != wanted:
        raise AssertionError(f"{what}: {found}, not {wanted}")


def frames(group: Group) -> list[str]:
    """The functions of a group's stack, innermost first."""
    return [line.partition("+")[0] for line in group["stack"]]


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
    """A pipe has one object of each cache, but two files."""
    by_cache: dict[str, int] = {}
    for group in through(findings.of_leaver, "create_pipe_files"):
        by_cache[group["cache"]] = by_cache.get(group["cache"], 0) + group["outstanding"]
    equal("files", by_cache.get("filp"), 2 * OPEN)
    equal("inodes", by_cache.get("inode_cache"), OPEN)
    equal("dentries", by_cache.get("dentry"), OPEN)
    own = sorted(n for cache, n in by_cache.items() if cache.startswith("kmalloc"))
    equal("pipe_inode_info and its buffers", own, [OPEN, OPEN])


def check_fault(fault: Fault) -> Callable[[Findings], None]:
    """A check: exactly what a fault left is outstanding, in the right cache, with the right sizes."""

    def check(findings: Findings) -> None:
        groups = made_by(findings.stacks, fault.name)
        equal("outstanding", total(groups, "outstanding"), fault.kept)
        sites = made_by(findings.call_sites, fault.name)
        equal("allocated", total(sites, "hits"), fault.allocated or fault.count)
        equal("bytes asked for", total(groups, "bytes_req"), fault.kept * fault.bytes_req)
        for group in groups:
            equal("stack", (frames(group)[:1], "fault_write" in frames(group)), ([fault.name], True))
            if not re.fullmatch(fault.cache, group["cache"]):
                raise AssertionError(f"cache: {group['cache']}, not {fault.cache}")

    return check


def check_reused_cache(findings: Findings) -> None:
    """A cache that lived for microseconds has its own name, not that of the next one there."""
    (after,) = (fault for fault in FAULTS if fault.name == "leak_after_reuse")
    sites = made_by(findings.call_sites, "use_before")
    equal("cache", {site["cache"] for site in sites}, {"slabtrace_before"})
    times, rest = divmod(total(sites, "hits"), after.count)
    equal("allocated", (times > 0, rest), (True, 0))


def check_unloaded(findings: Findings) -> None:
    """The module is unloaded; its objects are outstanding and still have their symbols."""
    for fault in FAULTS:
        groups = made_by(findings.stacks, fault.name)
        equal(f"{fault.name}: found", bool(groups), bool(fault.kept))
        for group in groups:
            mine = [line for line in group["stack"] if line.startswith((fault.name, "fault_write"))]
            equal(fault.name, [line.partition("[")[2] for line in mine], ["slabtrace_faults]"] * 2)


def check_silent_paths(findings: Findings) -> None:
    """Every object freed through a silent path has the right kind of free."""
    for name, (kind, count) in SILENT.items():
        sites = {group["call_site"] for group in made_by(findings.call_sites, name)}
        freed = [row for row in findings.lifetimes if row["call_site"] in sites]
        equal(f"{name}: freed", len(freed), count)
        equal(f"{name}: freed by", {row["free_kind"] for row in freed}, {kind})


def check_nothing_wrong(findings: Findings) -> None:
    """No mismatch blames a fault that does what is allowed."""
    names = {fault.name for fault in FAULTS}
    wrong = [each for each in findings.mismatches if names & blamed(each)]
    equal("mismatches", [(each["kind"], *sorted(blamed(each) & names)) for each in wrong], [])


def blamed(finding: Group) -> set[str]:
    """The functions in all stacks of a mismatch."""
    events = (finding[key] for key in ("alloc", "first_free", "second_free"))
    return {name for event in events if event for name in frames(event)}


def check_preemptible(findings: Findings) -> None:
    """Tracepoint programs can be preempted from 7.0 on, and the recorder knows it (also with lockdep)."""
    manifest = findings.trace.manifest
    since = int(manifest.host.release.partition(".")[0]) >= 7
    equal(f"programs_preemptible on {manifest.host.release}", manifest.coverage.programs_preemptible, since)


def of_user_space() -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of what the leaver does without the module."""
    yield "messages", check_messages
    yield "pipes", check_pipes


def of_cgroups() -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of a recording of cgroups_script with --cgroup: only one leaver is in it."""
    for name, check in of_user_space():
        yield f"{name} of a cgroup", check


def check_kept_messages(findings: Findings) -> None:
    groups = made_by(findings.of_leaver, "load_msg|alloc_msg")
    equal("outstanding", total(groups, "outstanding"), KEPT)


def of_survivors() -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of a recording of leaks_script in the mode "survivors", which has no frees."""
    yield "messages", check_kept_messages
    yield "pipes", check_pipes
    for fault in FAULTS:
        yield fault.name, check_fault(fault)
    yield "unloaded module", check_unloaded
    yield "preemptible", check_preemptible


def checks() -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of a recording of leaks_script."""
    yield from of_user_space()
    for fault in FAULTS:
        yield fault.name, check_fault(fault)
    yield "reused cache", check_reused_cache
    yield "silent paths", check_silent_paths
    yield "unloaded module", check_unloaded
    yield "preemptible", check_preemptible
    yield "no mismatch", check_nothing_wrong
