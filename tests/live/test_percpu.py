# SPDX-License-Identifier: Apache-2.0
"""`record --percpu`: per-CPU memory of BPF maps, exactly as much as they were made and closed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.live.conftest import PATIENCE_S, Recording, slabtrace_json

ENTRIES, VALUE, CLOSED = 101, 512, 37
HOLDER = f"""
import os, sys
from tests.live.memory_loads import percpu_map
kept = percpu_map({ENTRIES}, {VALUE})
os.close(percpu_map({CLOSED}, {VALUE}))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["events", "survivors"])
def test_what_a_map_keeps_is_outstanding(
    start_recording: Callable[..., Recording], mode: str, tries: int, pytestconfig: pytest.Config
) -> None:
    """Each element of a percpu array is one allocation (kernel/bpf/arraymap.c: bpf_array_alloc_percpu).

    Where frees are hidden the recording says so, and the counts are the same.
    """
    confidence = [
        kept_by_a_map(start_recording, mode) for _ in range(tries if pytestconfig.getoption("--noise") else 1)
    ]
    assert not {"exact", "bounded"}.isdisjoint(confidence)


def kept_by_a_map(start_recording: Callable[..., Recording], mode: str) -> str:
    """Record a map of ENTRIES; the confidence of its finding, whose counts are asserted."""
    recording = start_recording("--percpu", "--mode", mode, "--threshold", "0.2s")
    recording.wait_events(1)
    holder = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        code, said = recording.end()
        assert code == 0, said
        process.stdin.close()
        process.wait(PATIENCE_S)
    content = slabtrace_json("leaks", str(recording.trace), "--by", "call-site", "--pid", str(process.pid))
    groups = [each for each in content["groups"] if each["cache"] == "(percpu)"]
    (group,) = (each for each in groups if "bpf" in each["symbol"])
    assert group["outstanding"] == ENTRIES
    assert group["bytes_req"] == ENTRIES * VALUE
    assert group["bytes_alloc"] >= ENTRIES * VALUE * (os.cpu_count() or 1)  # and its bookkeeping
    if mode == "events":
        assert group["allocated"] in (ENTRIES, ENTRIES + CLOSED)  # the other map is freed by a kworker
    return str(group["confidence"])
