# SPDX-License-Identifier: Apache-2.0
"""`record --pages` and `--vmalloc`: pages of pipes and areas of BPF maps, as many as were made and kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.capture.kernel import page_shape
from slabtrace.capture.kernel.btf import Btf
from tests.live.conftest import PATIENCE_S, Recording, slabtrace_json

PAGE = 4096
KEPT, CLOSED = 53, 37
READY = 1  # the page of the line that the process writes to this one; a pipe keeps what was read
MAPS, ENTRIES, VALUE = 7, 101, 8192
DATAGRAMS, DATAGRAM = 41, 12_000
PIPE_GFP = 0x500CC2  # fs/pipe.c: GFP_HIGHUSER | __GFP_ACCOUNT
PIPES = f"""
import os, sys
def pipe():
    ends = os.pipe()
    os.write(ends[1], bytes({PAGE}))
    return ends
kept = [pipe() for _ in range({KEPT})]
for _ in range({CLOSED}):
    for end in pipe():
        os.close(end)
"""
AREAS = f"""
import os, sys
from tests.live.memory_loads import _ARRAY, _map
kept = [_map(_ARRAY, {VALUE}, {ENTRIES}) for _ in range({MAPS})]
os.close(_map(_ARRAY, {VALUE}, {ENTRIES}))
"""
SENT = f"""
import socket, sys
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
a.setsockopt(socket.SOL_SOCKET, 32, 1 << 22)
for _ in range({DATAGRAMS}):
    a.send(bytes({DATAGRAM}))
"""
WAITS = """
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(program: str, *before: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has run `program` and holds what that made."""
    argv = [*before, sys.executable, "-c", program + WAITS]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        process.wait(PATIENCE_S)


def recorded(
    start_recording: Callable[..., Recording], program: str, *options: str
) -> tuple[Recording, list[dict[str, Any]]]:
    """The groups by call site of the process that runs `program`."""
    recording = start_recording(*options)
    recording.wait_events(1)
    with holder(program) as process:
        code, said = recording.end()
        assert code == 0, said
    content = slabtrace_json("leaks", str(recording.trace), "--by", "call-site", "--pid", str(process.pid))
    return recording, content["groups"]


def test_a_page_in_a_pipe_is_outstanding(
    start_recording: Callable[..., Recording], pytestconfig: pytest.Config
) -> None:
    """Beside noise the kernel skips a few events of others as well: then the same counts are less sure."""
    recording, groups = recorded(start_recording, PIPES, "--pages")
    (group,) = (each for each in groups if "pipe_write" in each["symbol"] and "(pages" in each["cache"])
    assert group["cache"] == "(pages order 0)"
    assert (group["allocated"], group["freed"], group["outstanding"]) == (
        KEPT + CLOSED + READY,
        CLOSED,
        KEPT + READY,
    )
    assert group["bytes_alloc"] == (KEPT + READY) * PAGE
    if not pytestconfig.getoption("--noise"):
        assert group["confidence"] == "exact"
    manifest = slabtrace.open(recording.trace).manifest
    assert manifest.totals.left_out["movable"] > 0 and manifest.totals.left_out["slab"] > 0


def test_a_large_kmalloc_is_counted_once(start_recording: Callable[..., Recording]) -> None:
    """A datagram of 12,000 bytes takes a kmalloc of 16 KiB: four pages, which are no pages of their own."""
    _, groups = recorded(start_recording, SENT, "--pages")
    large = [each for each in groups if each["cache"] == "(large kmalloc)" and each["outstanding"]]
    assert sum(each["outstanding"] for each in large) == DATAGRAMS
    assert {each["object"].split(":")[0] for each in large} == {"order 2"}
    pages = [each for each in groups if "(pages order 2)" in each["cache"] and each["outstanding"]]
    assert pages == []


@pytest.mark.parametrize("mode", ["events", "survivors"])
def test_areas_of_vmalloc(start_recording: Callable[..., Recording], mode: str) -> None:
    """An array of a BPF map is one area: entries of 8 KiB, the struct before them, in whole pages."""
    types = Btf()
    has = page_shape.examine(types).has_vmalloc
    types.close()
    if not has:
        pytest.skip("this kernel has no tracepoint for areas of vmalloc")
    _, groups = recorded(start_recording, AREAS, "--vmalloc", "--mode", mode, "--threshold", "0.2s")
    areas = [each for each in groups if each["cache"] == "(vmalloc)" and "bpf_map_area" in each["symbol"]]
    assert sum(each["outstanding"] for each in areas) == MAPS
    each = sum(each["bytes_alloc"] for each in areas) / MAPS
    assert ENTRIES * VALUE < each <= ENTRIES * VALUE + 2 * PAGE


def test_pages_are_counted_as_perf_counts_them(
    start_recording: Callable[..., Recording], tmp_path: Path
) -> None:
    """By one task, with the flags that only pipes use, so that nothing but the load's own pages count."""
    if shutil.which("perf") is None:
        pytest.skip("perf is not installed")
    result = tmp_path / "perf"
    event = ["-e", "kmem:mm_page_alloc", "--filter", f"gfp_flags == {PIPE_GFP}"]
    recording = start_recording("--pages")
    recording.wait_events(1)
    with holder(PIPES, "perf", "stat", "-x", ",", "-o", str(result), *event, "--"):
        pass
    code, said = recording.end()
    assert code == 0, said
    (line,) = (line for line in result.read_text().splitlines() if "mm_page_alloc" in line)
    trace = slabtrace.open(recording.trace)
    rows = trace.stat(by="pages")
    mine = rows[rows["symbol"].str.contains("pipe_write") & (rows["order"] == 0)]
    assert int(line.split(",")[0]) == KEPT + CLOSED + READY
    lost = trace.completeness().lost
    assert int(mine["hits"].sum()) >= KEPT + CLOSED + READY - lost, "other processes use pipes too"
