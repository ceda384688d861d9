# SPDX-License-Identifier: Apache-2.0
"""--mode survivors on the running kernel: the same prime counts as event by event, from far fewer events."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slabtrace
from tests.live.conftest import Leaver, Recording, slabtrace_json, wait_for
from tests.live.test_exact_counts import (
    EXCHANGED,
    KEPT,
    OPEN,
    PIPES,
    cache_of_a_message,
    check_pipes,
    groups_of,
    outstanding,
)

RecordLeaver = Callable[..., Leaver]
SURVIVORS = ("--mode", "survivors")


def site(trace: Path, function: str) -> dict[str, Any]:
    """The row of `stat` for the call site in a function that allocated most."""
    rows = slabtrace_json("stat", str(trace), "--by", "call-site")["rows"]
    found: dict[str, Any] = max(
        (row for row in rows if row["symbol"].startswith(f"{function}+")), key=lambda row: row["hits"]
    )
    return found


def test_exactly_what_was_left_is_told_of_and_the_rest_counted(record_leaver: RecordLeaver) -> None:
    for kept in (OPEN, 0):
        leaver = record_leaver(KEPT, EXCHANGED, PIPES, kept, options=SURVIVORS)
        groups = groups_of(leaver)
        assert outstanding(groups, "(load_msg|alloc_msg)") == [(cache_of_a_message(), KEPT)]
        check_pipes(groups, kept)
        row = site(leaver.trace, "load_msg")
        assert (row["hits"], row["frees"], row["outstanding"]) == (KEPT + EXCHANGED, EXCHANGED, KEPT)
        completeness = slabtrace.open(leaver.trace).completeness()
        assert completeness.counted >= EXCHANGED and completeness.dropped == 0
        assert KEPT <= told_of(leaver.trace, "load_msg") < 2 * KEPT


def test_what_finds_no_room_in_the_table_is_recorded_event_by_event(record_leaver: RecordLeaver) -> None:
    """499 pipes are some 4,000 objects; the smallest table has 2,048 places."""
    leaver = record_leaver(KEPT, EXCHANGED, 503, 499, options=(*SURVIVORS, "--live-objects", "1000"))
    groups = groups_of(leaver)
    assert outstanding(groups, "(load_msg|alloc_msg)") == [(cache_of_a_message(), KEPT)]
    check_pipes(groups, 499)
    assert slabtrace.open(leaver.trace).completeness().dropped == 0


def test_the_old_are_told_of_with_their_frees(
    build: Callable[[str], Path], start_recording: Callable[..., Recording]
) -> None:
    """41 pipes live for longer than the threshold and are closed; 60 were closed at once."""
    recording = start_recording(*SURVIVORS, "--threshold", "200ms")
    wait_for(lambda: (recording.trace / "manifest.json").exists() and recording.manifest().coverage.attached)
    argv = [str(build("leaver")), "0", "0", str(PIPES), str(OPEN)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as leaver:
        assert leaver.stdout is not None
        queue, child = map(int, leaver.stdout.readline().split())
        leaver.stdout.close()  # the child keeps it open as well
    ctypes.CDLL(None).msgctl(queue, 0, None)
    pipes = 2 * OPEN  # pipe_inode_info and its buffers
    try:
        wait_for(lambda: told_of(recording.trace, "alloc_pipe_info", leaver.pid) >= pipes)
    finally:
        os.kill(child, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    status, stderr = recording.end()
    assert status == 0, stderr
    trace = slabtrace.open(recording.trace)
    assert told_of(recording.trace, "alloc_pipe_info", leaver.pid) == pipes
    row = site(recording.trace, "alloc_pipe_info")
    assert PIPES <= row["hits"] < PIPES + OPEN and row["outstanding"] == 0  # Popen makes pipes as well
    sites = call_sites(trace, "alloc_pipe_info")
    long = [
        row["free_ts_ns"] - row["alloc_ts_ns"]
        for batch in trace.lifetimes()
        for row in batch.to_pylist()
        if row["call_site"] in sites and row["alloc_tid"] == leaver.pid
    ]
    assert len(long) == pipes and min(long) >= 200_000_000


def call_sites(trace: slabtrace.Trace, function: str) -> set[int]:
    rows = trace.stat("call_site")
    symbols = zip(rows["symbol"], rows["call_site"], strict=True)
    return {address for symbol, address in symbols if symbol.startswith(f"{function}+")}


def told_of(path: Path, function: str, tid: int | None = None) -> int:
    """Allocations by a function, in one task or any, among the events stored so far."""
    trace = slabtrace.open(path)
    sites, told = call_sites(trace, function), 0
    for batch in trace.events(["call_site", "tid"]):
        told += sum(row["call_site"] in sites and tid in (None, row["tid"]) for row in batch.to_pylist())
    return told


def test_beside_a_recording_of_all_events_the_totals_are_the_same(
    build: Callable[[str], Path], start_recording: Callable[..., Recording]
) -> None:
    """Two recorders see one workload; of call sites that only it uses, they say the same."""
    both = [start_recording(), start_recording(*SURVIVORS)]
    for each in both:
        wait_for(
            lambda each=each: (each.trace / "manifest.json").exists() and each.manifest().coverage.attached
        )
    argv = [str(build("leaver")), str(KEPT), str(EXCHANGED), str(PIPES), "0"]
    queue, _ = map(int, subprocess.run(argv, capture_output=True, text=True).stdout.split())
    for each in both:
        assert each.end()[0] == 0
    ctypes.CDLL(None).msgctl(queue, 0, None)
    every, few = (site(each.trace, "load_msg") for each in both)
    for name in ("hits", "frees", "outstanding", "bytes_req", "bytes_alloc", "pingpong"):
        assert every[name] == few[name], name
    assert every["hits"] == KEPT + EXCHANGED
    lived = [by_bin(slabtrace.open(each.trace)) for each in both]
    assert sum(lived[0].values()) == sum(lived[1].values()) == EXCHANGED
    # two programs read the clock one after the other, so a lifetime at the edge of a bin may differ
    assert sum(abs(lived[0].get(b, 0) - lived[1].get(b, 0)) for b in {*lived[0], *lived[1]}) < EXCHANGED


def by_bin(trace: slabtrace.Trace) -> dict[float, int]:
    table = trace.lifetime_histogram()
    rows = table[table["cache"] == cache_of_a_message()]
    return dict(zip(rows["from_ns"].tolist(), rows["objects"].tolist(), strict=True))
