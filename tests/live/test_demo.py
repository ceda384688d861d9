# SPDX-License-Identifier: Apache-2.0
"""`slabtrace demo` on the running kernel: finds exactly its leak, and cleans up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slabtrace.trace import manifest

pytestmark = pytest.mark.live


def slabtrace(*args: str | Path) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "slabtrace", *map(str, args)]
    return subprocess.run(run, capture_output=True, text=True, check=False)


def last_senders() -> set[int]:
    """For each System V queue there is, the process that last sent to it (lspid: proc_sysvipc(5))."""
    return {int(line.split()[5]) for line in Path("/proc/sysvipc/msg").read_text().splitlines()[1:]}


def workload_pid(trace: Path) -> int:
    """The process that the demo recorded."""
    command = manifest.load(trace).command
    assert command is not None
    return command.pid


def leaks(trace: Path, *filters: str) -> dict[str, Any]:
    """What `slabtrace leaks` finds of the demo's own process."""
    result = slabtrace("leaks", trace, "--pid", str(workload_pid(trace)), *filters, "--json")
    assert result.returncode == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_the_demo_finds_its_leak(tmp_path: Path) -> None:
    result = slabtrace("demo", "-o", tmp_path / "demo")
    assert result.returncode == 0, result.stderr + result.stdout
    trace = tmp_path / "demo" / "demo.slab"
    messages = leaks(trace, "--symbol", r"^load_msg\+|^alloc_msg\+")
    assert [group["outstanding"] for group in messages["groups"]] == [23]
    assert [each["class"] for each in messages["findings"]] != ["suspect"]
    pipes = leaks(trace, "--symbol", r"^alloc_pipe_info\+")
    assert [group["outstanding"] for group in pipes["groups"]] == [31, 31]
    (leak,) = pipes["findings"]
    assert (leak["class"], leak["outstanding"], leak["objects"] % 31) == ("suspect", 31, 0)
    assert leak["rate_low"] < 1 / 0.64 < leak["rate_high"]
    assert (pipes["verdict"]["suspects"], pipes["verdict"]["growing"]) == (1, 0)
    assert (tmp_path / "demo" / "usage.png").read_bytes().startswith(b"\x89PNG")
    assert "found: 23 in" in result.stdout and "found: 31 in" in result.stdout
    assert "#1 suspect" in result.stdout and "1 suspected leak" in result.stdout
    assert workload_pid(trace) not in last_senders(), "the demo removes its queue before it ends"
    again = slabtrace("demo", "-o", tmp_path / "demo")
    assert again.returncode == 2 and "exists" in again.stderr
