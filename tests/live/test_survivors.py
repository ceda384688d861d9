# SPDX-License-Identifier: Apache-2.0
"""--mode survivors on the running kernel: the same prime counts as event by event, from far fewer events."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import slabtrace
from slabtrace.api import Trace
from slabtrace.trace.format.schema import BINS_PER_OCTAVE, LIFETIME_BINS
from tests.live.conftest import BY_LEAVER, Leaver, Recording, slabtrace_json, wait_for
from tests.live.messages import new_queue, receive, send
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
# held so long (ns; near the beginning of a bin, which ends at 1.41 times that): so many messages
HELD = {100_000: 101, 800_000: 307, 6_300_000: 53, 51_000_000: 11}
SPIN_NS = 300_000  # sleeping is not exact
EDGES = 2.0 ** (np.arange(1, LIFETIME_BINS + 1) / BINS_PER_OCTAVE)  # where the bins end, ns


def site(trace: Path, function: str) -> dict[str, Any]:
    """The row of `stat` for the call site in a function that allocated most."""
    rows = slabtrace_json("stat", str(trace), "--by", "call-site")["rows"]
    found: dict[str, Any] = max(
        (row for row in rows if row["symbol"].startswith(f"{function}+")), key=lambda row: row["hits"]
    )
    return found


def test_exactly_what_was_left_is_reported_and_the_rest_counted(record_leaver: RecordLeaver) -> None:
    for kept in (OPEN, 0):
        leaver = record_leaver(KEPT, EXCHANGED, PIPES, kept, options=(*SURVIVORS, *BY_LEAVER))
        groups = groups_of(leaver)
        assert outstanding(groups, "(load_msg|alloc_msg)") == [(cache_of_a_message(), KEPT)]
        check_pipes(groups, kept)
        row = site(leaver.trace, "load_msg")
        assert (row["hits"], row["frees"], row["outstanding"]) == (KEPT + EXCHANGED, EXCHANGED, KEPT)
        completeness = slabtrace.open(leaver.trace).completeness()
        assert completeness.counted >= EXCHANGED and completeness.dropped == 0
        assert KEPT <= reported(leaver.trace, "load_msg", leaver.pid()) < 2 * KEPT


def test_what_finds_no_room_in_the_table_is_recorded_event_by_event(record_leaver: RecordLeaver) -> None:
    """499 pipes are some 4,000 objects; the smallest table has 2,048 places."""
    leaver = record_leaver(KEPT, EXCHANGED, 503, 499, options=(*SURVIVORS, "--live-objects", "1000"))
    groups = groups_of(leaver)
    assert outstanding(groups, "(load_msg|alloc_msg)") == [(cache_of_a_message(), KEPT)]
    check_pipes(groups, 499)
    assert slabtrace.open(leaver.trace).completeness().dropped == 0


def test_old_objects_are_reported_with_their_frees(
    build: Callable[[str], Path], start_recording: Callable[..., Recording]
) -> None:
    """41 pipes live for longer than the threshold and are closed; 60 were closed at once."""
    recording = start_recording(*SURVIVORS, "--threshold", "200ms", *BY_LEAVER)
    wait_until_attached(recording)
    argv = [str(build("leaver")), "0", "0", str(PIPES), str(OPEN)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as leaver:
        assert leaver.stdout is not None
        queue, child = map(int, leaver.stdout.readline().split())
        leaver.stdout.close()  # the child keeps it open as well
    ctypes.CDLL(None).msgctl(queue, 0, None)
    pipes = 2 * OPEN  # pipe_inode_info and its buffers
    try:
        wait_for(lambda: reported(recording.trace, "alloc_pipe_info", leaver.pid) >= pipes)
    finally:
        os.kill(child, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{child}").exists())
    status, stderr = recording.end()
    assert status == 0, stderr
    trace = slabtrace.open(recording.trace)
    assert reported(recording.trace, "alloc_pipe_info", leaver.pid) == pipes
    row = site(recording.trace, "alloc_pipe_info")
    assert (row["hits"], row["outstanding"]) == (PIPES, 0)
    sites = call_sites(trace, "alloc_pipe_info")
    long = [
        row["free_ts_ns"] - row["alloc_ts_ns"]
        for batch in trace.lifetimes()
        for row in batch.to_pylist()
        if row["call_site"] in sites and row["alloc_tid"] == leaver.pid
    ]
    assert len(long) == pipes and min(long) >= 200_000_000


def call_sites(trace: Trace, function: str) -> set[int]:
    rows = trace.stat("call_site")
    symbols = zip(rows["symbol"], rows["call_site"], strict=True)
    return {address for symbol, address in symbols if symbol.startswith(f"{function}+")}


def reported(path: Path, function: str, tid: int) -> int:
    """Allocations by a function in one task, among the events stored so far."""
    trace = slabtrace.open(path)
    sites, count = call_sites(trace, function), 0
    for batch in trace.events(["call_site", "tid"]):
        count += sum(row["call_site"] in sites and tid == row["tid"] for row in batch.to_pylist())
    return count


def test_beside_a_recording_of_all_events_the_totals_are_the_same(
    build: Callable[[str], Path], start_recording: Callable[..., Recording]
) -> None:
    """Two recorders see one workload: each message counts the same in both."""
    both = [start_recording(*BY_LEAVER), start_recording(*SURVIVORS, *BY_LEAVER)]
    wait_until_attached(*both)
    argv = [str(build("leaver")), str(KEPT), str(EXCHANGED), str(PIPES), "0"]
    queue, _ = map(int, subprocess.run(argv, capture_output=True, text=True).stdout.split())
    for each in both:
        assert each.end()[0] == 0
    ctypes.CDLL(None).msgctl(queue, 0, None)
    every, few = (site(each.trace, "load_msg") for each in both)
    for name in ("hits", "frees", "outstanding", "bytes_req", "bytes_alloc", "pingpong"):
        assert every[name] == few[name], name
    assert every["hits"] == KEPT + EXCHANGED
    for each in both:
        assert lifetimes(each.trace).sum() == EXCHANGED


def test_every_lifetime_is_in_its_bin(start_recording: Callable[..., Recording]) -> None:
    """Messages held for known times, by this process's own clock, beside both ways of counting lifetimes.

    A message was allocated while msgsnd ran and freed while msgrcv ran.  The clock before and after each call
    gives the shortest and the longest that it can have lived, and so how many at least, and at most, lived
    shorter than each edge of the histogram.
    """
    own = ("--pid", str(os.getpid()), "--cache", cache_of_a_message())
    both = [start_recording(*own), start_recording(*SURVIVORS, *own)]
    wait_until_attached(*both)
    with new_queue() as queue:
        shortest, longest = hold_messages(queue)
    for each in both:
        assert each.end()[0] == 0
    at_least, at_most = ((EDGES[:, None] > lived).sum(axis=1) for lived in (longest, shortest))
    # a process that must wait for its CPU while it calls knows less; here that is the 101 shortest at most
    assert (at_most - at_least).max() < len(shortest) // 4
    for each in both:
        shorter = np.cumsum(lifetimes(each.trace))
        assert shorter[-1] == len(shortest)
        assert (at_least <= shorter).all() and (shorter <= at_most).all()


def hold_messages(queue: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Send and receive the messages of HELD one by one; the shortest and longest lifetime of each."""
    bounds = []
    for held_ns, messages in HELD.items():
        for _ in range(messages):
            sending, sent = timed(send, queue)
            while (left := sent + held_ns - time.monotonic_ns()) > 0:
                time.sleep(max(left - SPIN_NS, 0) / 1e9)
            receiving, received = timed(receive, queue)
            bounds.append((receiving - sent, received - sending))
    shortest, longest = np.array(bounds, np.int64).T
    return shortest, longest


def timed(action: Callable[[int, int], None], queue: int) -> tuple[int, int]:
    """Do it with one message; the clock before and after."""
    before = time.monotonic_ns()
    action(queue, 1)
    return before, time.monotonic_ns()


def lifetimes(trace: Path) -> NDArray[np.int64]:
    """How many messages lived shorter than each of EDGES, but not than the edge before."""
    table = slabtrace.open(trace).lifetime_histogram()
    rows = table[table["cache"] == cache_of_a_message()]
    counts = np.zeros(len(EDGES), np.int64)
    counts[np.searchsorted(EDGES, rows["to_ns"] - 0.5)] += rows["objects"].to_numpy()
    return counts


def wait_until_attached(*recordings: Recording) -> None:
    for each in recordings:
        wait_for(
            lambda each=each: (each.trace / "manifest.json").exists() and each.manifest().coverage.attached
        )
