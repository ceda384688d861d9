# SPDX-License-Identifier: Apache-2.0
"""A workload with prime numbers is recorded, and exactly what it left is found.

23 messages stay in a System V queue and 41 of 101 pipes stay open; 10,007 messages and 60 pipes
come and go.  What the kernel allocates for a message and a pipe: ipc/msgutil.c, fs/pipe.c.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from tests.live.conftest import BY_LEAVER, LEAVER, Leaver, slabtrace_json

RUNS = int(os.environ.get("SLABTRACE_RUNS", "3"))
KEPT, EXCHANGED, PIPES, OPEN = 23, 10_007, 101, 41
RecordLeaver = Callable[..., Leaver]


def cache_of_a_message() -> str:
    """The cache of a 64-byte message: 48 bytes of struct msg_msg before it, 112 in all.

    A bucket of its own from 6.11 (CONFIG_SLAB_BUCKETS), an accounted kmalloc cache from 5.14.
    """
    names = Path("/proc/slabinfo").read_text().split()
    return next(name for name in ("msg_msg-128", "kmalloc-cg-128", "kmalloc-128") if name in names)


def groups_of(leaver: Leaver, by: str = "call-site") -> list[dict[str, Any]]:
    """Outstanding groups of what the leaver itself allocated."""
    content = slabtrace_json("leaks", str(leaver.trace), "--by", by, "--pid", str(leaver.pid()))
    assert content["schema"] == "slabtrace.leaks/2"
    groups: list[dict[str, Any]] = content["groups"]
    return groups


def outstanding(groups: list[dict[str, Any]], function: str) -> list[tuple[str, int]]:
    """[(cache, outstanding)] of the call sites in a function."""
    return sorted((g["cache"], g["outstanding"]) for g in groups if re.match(rf"{function}\+0x", g["symbol"]))


def check_messages(groups: list[dict[str, Any]], missed: int = 0) -> None:
    """`missed`: events that the trace says it lost; each may be one of a message."""
    assert outstanding(groups, "(load_msg|alloc_msg)") == [(cache_of_a_message(), KEPT)]
    (group,) = (g for g in groups if g["symbol"].startswith(("load_msg+", "alloc_msg+")))
    unseen = KEPT + EXCHANGED - group["allocated"]
    assert group["freed"] == group["allocated"] - KEPT and 0 <= unseen <= missed
    assert group["bytes_req"] == KEPT * 112
    assert group["bytes_alloc"] == KEPT * 128


def check_pipes(groups: list[dict[str, Any]], kept: int) -> None:
    """alloc_pipe_info allocates struct pipe_inode_info (some 176 bytes) and its 16 buffers of 40 bytes."""
    found = [(cache.replace("-cg", ""), count) for cache, count in outstanding(groups, "alloc_pipe_info")]
    assert found == ([("kmalloc-192", kept), ("kmalloc-1k", kept)] if kept else [])


def allocated_for_a_pipe(group: dict[str, Any]) -> bool:
    """Lies pipe(2) on its way?  The array of memory cgroups that a new slab gets does not count."""
    on_the_way = any("create_pipe_files" in frame for frame in group["stack"])
    return on_the_way and not group["symbol"].startswith("alloc_slab_obj_exts+")


def check_whole_pipes(leaver: Leaver, kept: int) -> None:
    """All that the stacks of pipe(2) allocated: each object comes once for each pipe, but files twice."""
    groups = [group for group in groups_of(leaver, "stack") if allocated_for_a_pipe(group)]
    counts: dict[str, int] = {}
    for group in groups:
        counts[group["cache"]] = counts.get(group["cache"], 0) + group["outstanding"]
    if not kept:
        assert sum(counts.values()) == 0
        return
    assert counts["filp"] == 2 * kept
    assert counts["inode_cache"] == counts["dentry"] == kept
    assert set(counts.values()) == {kept, 2 * kept}, counts


def check_leaver(record_leaver: RecordLeaver, *options: str, all_seen: bool = True) -> None:
    for kept in (OPEN, 0):
        leaver = record_leaver(KEPT, EXCHANGED, PIPES, kept, options=options)
        groups = groups_of(leaver)
        check_messages(groups, 0 if all_seen else slabtrace.open(leaver.trace).completeness().lost)
        check_pipes(groups, kept)
        if "none" not in options:
            check_whole_pipes(leaver, kept)


@pytest.mark.parametrize("run", range(RUNS))
def test_exactly_what_was_left(record_leaver: RecordLeaver, run: int) -> None:
    """RCU frees the blobs of inodes late where the CPUs are busy, so it is waited for."""
    check_leaver(record_leaver, "--stacks", "all", "--grace", "2s")


@pytest.mark.parametrize("run", range(RUNS))
def test_exactly_what_was_left_while_every_cpu_is_loaded(
    record_leaver: RecordLeaver, load: Callable[[], object], run: int, pytestconfig: pytest.Config
) -> None:
    """Noise may take the CPUs from the recorder as well: then what is not seen is counted as lost."""
    load()
    alone = not pytestconfig.getoption("--noise")
    check_leaver(record_leaver, "--stacks", "none", "--grace", "2s", all_seen=alone)


def test_with_some_stacks_the_counts_are_exact_and_the_stack_is_found(record_leaver: RecordLeaver) -> None:
    """Of 10,030 messages most get no stack; all are one group, with the stack of those that do."""
    leaver = record_leaver(KEPT, EXCHANGED, 0, 0, options=("--stacks", "auto"))
    check_messages(groups_of(leaver, "stack"))
    (group,) = (g for g in groups_of(leaver, "stack") if g["symbol"].startswith(("load_msg+", "alloc_msg+")))
    assert any("msgsnd" in frame for frame in group["stack"])
    assert group["stacks"] == 1 and group["stack_of"] == group["stacked"] < KEPT
    sites = slabtrace.open(leaver.trace).stat("call_site")
    drawn = stacks_drawn(leaver, int(group["call_site"], 16))
    assert sites["hits"].sum() > KEPT + EXCHANGED and 0 < drawn < (KEPT + EXCHANGED) // 4


def stacks_drawn(leaver: Leaver, call_site: int) -> int:
    """How many events of a call site in the leaver were stored with a stack."""
    stored, pid = 0, leaver.pid()
    for batch in slabtrace.open(leaver.trace).events():
        stored += sum(
            (row["call_site"], row["tgid"]) == (call_site, pid) and row["stack_id"] >= 0
            for row in batch.to_pylist()
        )
    return stored


def test_the_cache_table_agrees(record_leaver: RecordLeaver) -> None:
    """Of a cache that the leaver uses for nothing else, `caches` has the same numbers."""
    if cache_of_a_message() != "msg_msg-128":
        pytest.skip("this kernel keeps messages in a shared kmalloc cache")
    leaver = record_leaver(KEPT, EXCHANGED, 0, 0, options=BY_LEAVER)
    content = slabtrace_json("caches", str(leaver.trace), "--cache", "msg_msg-128")
    (row,) = content["caches"]
    assert (row["allocs"], row["frees"], row["outstanding"]) == (KEPT + EXCHANGED, EXCHANGED, KEPT)
    assert (row["object_size"], row["size"]) == (128, 128)
    assert row["peak_outstanding"] == KEPT
    assert row["bytes_req"] == (KEPT + EXCHANGED) * 112
    assert row["bytes_alloc"] == (KEPT + EXCHANGED) * 128


def test_the_stack_names_the_way_there(record_leaver: RecordLeaver) -> None:
    leaver = record_leaver(KEPT, EXCHANGED, 0, 0)
    content = slabtrace_json("leaks", str(leaver.trace), "--cache", "*-128", "--pid", str(leaver.pid()))
    (group,) = (g for g in content["groups"] if g["symbol"].startswith(("load_msg+", "alloc_msg+")))
    functions = [frame.split("+")[0] for frame in group["stack"]]
    assert functions[0] in ("load_msg", "alloc_msg")
    assert any("msgsnd" in name for name in functions), functions
    assert functions[-1] in ("entry_SYSCALL_64_after_hwframe", "do_syscall_64")
    assert group["comms"] == [LEAVER]
