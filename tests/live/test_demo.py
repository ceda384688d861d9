# SPDX-License-Identifier: Apache-2.0
"""`slabtrace demo` on the running kernel: finds exactly what it leaves behind, and cleans up."""

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


def outstanding(trace: Path, symbol: str) -> list[int]:
    """Of each call site: what the demo's own process left."""
    pid = str(workload_pid(trace))
    result = slabtrace("leaks", trace, "--symbol", symbol, "--pid", pid, "--json")
    assert result.returncode == 0, result.stderr
    groups: list[dict[str, Any]] = json.loads(result.stdout)["groups"]
    return [group["outstanding"] for group in groups]


def test_the_demo_finds_what_it_left(tmp_path: Path) -> None:
    result = slabtrace("demo", "-o", tmp_path / "demo")
    assert result.returncode == 0, result.stderr
    trace = tmp_path / "demo" / "demo.slab"
    assert outstanding(trace, r"^load_msg\+|^alloc_msg\+") == [23]
    assert outstanding(trace, r"^alloc_pipe_info\+") == [41, 41]
    assert (tmp_path / "demo" / "usage.png").read_bytes().startswith(b"\x89PNG")
    assert "found: 23 in" in result.stdout and "found: 41 in" in result.stdout
    assert workload_pid(trace) not in last_senders(), "the demo removes its queue before it ends"
    again = slabtrace("demo", "-o", tmp_path / "demo")
    assert again.returncode == 2 and "exists" in again.stderr
