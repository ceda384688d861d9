# SPDX-License-Identifier: Apache-2.0
"""A healthy machine has no mismatch that the evidence supports, whatever its tasks do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import SLABTRACE, slabtrace_json

# Files, directories, processes, pipes and sockets, on the CPU given as argument, for as many seconds.
WORK = """
import os, socket, subprocess, sys, tempfile, time
os.sched_setaffinity(0, {int(sys.argv[1])})
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    subprocess.run(["find", "/usr/lib", "/proc/self", "-maxdepth", "3"], stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(200):
            with open(f"{folder}/{number}", "w") as file:
                file.write("x" * 5000)
    server = socket.create_server(("127.0.0.1", 0))
    for _ in range(200):
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        client.sendall(b"x" * 3000)
        accepted.recv(4000)
        client.close(), accepted.close()
    server.close()
    for _ in range(200):
        for fd in os.pipe():
            os.close(fd)
"""
SECONDS = 4


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of ordinary work on every CPU."""
    path = tmp_path_factory.mktemp("healthy") / "t.slab"
    work = "\n".join(
        f"{sys.executable} -c '{WORK}' {cpu} {SECONDS} &" for cpu in sorted(os.sched_getaffinity(0))
    )
    command = ["sh", "-c", f"{work}\nwait"]
    subprocess.run([*SLABTRACE, "record", "-q", "-o", str(path), "--", *command], check=True)
    return path


def test_no_mismatch_is_listed(healthy: Path) -> None:
    """The exit code 0 says so, too."""
    document = slabtrace_json("mismatches", str(healthy))
    assert document["findings"] == []
    unsupported = document["unsupported"]
    assert bool(unsupported["count"]) == bool(unsupported["cause"])


def test_no_mismatch_breaks_a_rule(healthy: Path) -> None:
    assert slabtrace_json("check", str(healthy), "--max-mismatches", "0")["findings"] == []


def test_top_counts_no_double_free() -> None:
    command = [*SLABTRACE, "top", "--batch", "3", "--stacks", "none", "-l", "1"]
    done: Any = subprocess.run(command, capture_output=True, text=True, check=True)
    heads = [line for line in done.stdout.splitlines() if " outstanding, " in line]
    assert len(heads) == 3 and not any("double free" in line for line in heads), json.dumps(heads)
