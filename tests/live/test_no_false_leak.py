# SPDX-License-Identifier: Apache-2.0
"""Files, sockets and mappings that come and go leave nothing that is called a leak.

What the kernel itself keeps of them is known: a removed file's name stays as a negative dentry
until memory is short (fs/dcache.c), and slabs come with arrays of object extensions (mm/slub.c).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slabtrace.trace import manifest
from tests.live.conftest import PATIENCE_S, SLABTRACE, slabtrace_json

COUNT = 10_007
# What one of each must allocate, and free: files, inodes, sockets, their buffers, mappings.
COMES_AND_GOES = ("filp", "sock_inode_cache", "UNIX", "skbuff", "vm_area_struct", "maple_node", "inode_cache")


def outstanding(trace: Path, *options: str) -> list[dict[str, Any]]:
    """Groups by call site of what the traced command allocated."""
    command = manifest.load(trace).command
    assert command is not None
    content = slabtrace_json("leaks", str(trace), "--by", "call-site", "--pid", str(command.pid), *options)
    groups: list[dict[str, Any]] = content["groups"]
    return groups


@pytest.fixture
def churned(build: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Record the churner; returns the trace."""

    def recorded(*options: str) -> Path:
        (tmp_path / "files").mkdir(exist_ok=True)
        trace = tmp_path / f"churn-{len(list(tmp_path.iterdir()))}.slab"
        command = [str(build("churner")), str(COUNT), str(tmp_path / "files")]
        record = [*SLABTRACE, "record", "--stacks", "none", *options, "-o", str(trace), "--", *command]
        done = subprocess.run(record, capture_output=True, text=True, timeout=2 * PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return trace

    return recorded


def test_what_was_freed_is_not_called_a_leak(churned: Callable[..., Path]) -> None:
    groups = outstanding(churned())
    assert not [group for group in groups if group["class"] == "suspect"]
    for group in groups:  # what is freed by an unwatched kfree_rcu may still wait for a grace period
        if group["cache"].startswith(COMES_AND_GOES):
            assert group["confidence"] == "unprovable", group
    (names,) = (group for group in groups if group["cache"] == "dentry")
    assert names["in_use"] == names["outstanding"] == COUNT  # the name of each removed file
    for group in groups:
        if group["maybe_freed"] == 0:  # confirmed, or nothing was lost that could have been a free
            assert group["in_use"] == group["outstanding"], group


def test_settled_nothing_but_bookkeeping_is_left(
    churned: Callable[..., Path], pytestconfig: pytest.Config, tries: int
) -> None:
    """Beside noise there may be no time at the end to read all slabs: then what is not known to be in use is
    said to be unverified.
    """
    left: list[tuple[int, int]] = []
    while len(left) < tries and not (left and settled(*left[-1])):
        groups = outstanding(churned("--settle"))
        unknown = [group for group in groups if group["confidence"] == "unprovable"]
        number = sum(group["outstanding"] for group in groups)
        if pytestconfig.getoption("--noise"):
            number -= sum(group["outstanding"] - group["in_use"] for group in unknown)
        left.append((number, sum(group["outstanding"] for group in groups if group["cache"] == "dentry")))
    assert settled(*left[-1]), left


def settled(left: int, dentries: int) -> bool:
    """Is no name left, and of all else only what the slab allocator needs?"""
    return not dentries and left < COUNT // 100
