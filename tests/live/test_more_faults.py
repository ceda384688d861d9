# SPDX-License-Identifier: Apache-2.0
"""Faults whose outcome is known to the number: stopped, crowded, in another time, its command killed.

What takes longer is run by hand: SLABTRACE_STOP_S=10 SLABTRACE_RECORDERS=10, and `python -m tests.faults`.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

import slabtrace
from slabtrace.trace.manifest import COMPLETE
from tests.faults.kill import PHASES, kill
from tests.faults.recorder import process_state
from tests.live.conftest import BY_LEAVER, PATIENCE_S, SLABTRACE, Recording, wait_for
from tests.live.test_exact_counts import cache_of_a_message

Start = Callable[..., Recording]
Messages = Callable[[int, int], int]
STOP_S = float(os.environ.get("SLABTRACE_STOP_S", "0"))
RECORDERS = int(os.environ.get("SLABTRACE_RECORDERS", "2"))
KEPT, EXCHANGED = 23, 100_003


@pytest.fixture
def messages(build: Callable[[str], Path]) -> Iterator[Messages]:
    """Leave so many messages and exchange so many; returns the pid of who did.  The queues are removed."""
    queues: list[int] = []

    def send(kept: int, exchanged: int) -> int:
        argv = [build("leaver"), str(kept), str(exchanged), "0", "0"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            queues.append(int(process.stdout.read().split()[0]))
        assert process.returncode == 0
        return process.pid

    yield send
    for queue in queues:
        ctypes.CDLL(None).msgctl(queue, 0, None)


def start(start_recording: Start, *options: str) -> Recording:
    """A recording of what messages lie in, everything attached."""
    recording = start_recording("--cache", cache_of_a_message(), *options)
    wait_for(lambda: recording.process.poll() is not None or attached(recording))
    assert recording.process.poll() is None, recording.process.communicate()[1]
    return recording


def attached(recording: Recording) -> bool:
    found = (recording.trace / "manifest.json").exists()
    return found and bool(recording.manifest().coverage.attached)


def halt(recording: Recording, number: int) -> None:
    recording.process.send_signal(number)
    wait_for(lambda: process_state(recording.process.pid) == "T")


def message_groups(trace: Path, pid: int) -> list[tuple[int, int]]:
    """(allocated, outstanding) of each call site of a process."""
    leaks = slabtrace.open(trace).leaks(by="call_site", pid=[pid])
    return [(int(a), int(n)) for a, n in leaks[["allocated", "outstanding"]].itertuples(index=False)]


def test_what_a_stopped_recorder_stores_and_drops_is_all_there_was(
    start_recording: Start, messages: Messages
) -> None:
    """Two events a message: what is not stored is counted, and it goes on afterwards."""
    recording = start(start_recording, "--buffer", "1", *BY_LEAVER)
    halt(recording, signal.SIGSTOP)
    messages(0, EXCHANGED)
    time.sleep(STOP_S)  # the fault itself
    recording.process.send_signal(signal.SIGCONT)
    recording.wait_events(1)
    pid = messages(KEPT, 0)
    status, stderr = recording.end()
    assert status == 0, stderr
    totals = recording.manifest().totals
    known = 2 * EXCHANGED + KEPT
    assert totals.events + totals.dropped >= known
    if cache_of_a_message() == "msg_msg-128":  # the leaver puts nothing else there; a slab of 32 may end
        assert totals.events + totals.dropped <= known + EXCHANGED // 32
    assert totals.dropped > EXCHANGED
    assert slabtrace.open(recording.trace).completeness().dropped == totals.dropped
    assert message_groups(recording.trace, pid) == [(KEPT, KEPT)]


def test_ctrl_z_and_fg(start_recording: Start, messages: Messages) -> None:
    """What happens meanwhile waits in the rings."""
    recording = start(start_recording)
    halt(recording, signal.SIGTSTP)
    pid = messages(KEPT, EXCHANGED // 100)
    recording.process.send_signal(signal.SIGCONT)
    status, stderr = recording.end()
    assert status == 0, stderr
    assert recording.manifest().totals.dropped == 0
    assert message_groups(recording.trace, pid) == [(KEPT + EXCHANGED // 100, KEPT)]


def test_recorders_side_by_side_are_all_exact(start_recording: Start, messages: Messages) -> None:
    started = [start_recording("--cache", cache_of_a_message(), "--buffer", "4") for _ in range(RECORDERS)]
    for recording in started:
        wait_for(lambda r=recording: attached(r), 30 * RECORDERS)
    pid = messages(KEPT, EXCHANGED // 100)
    for recording in started:
        recording.process.send_signal(signal.SIGINT)
    for recording in started:
        status, stderr = recording.end(0)
        assert status == 0, stderr
        assert message_groups(recording.trace, pid) == [(KEPT + EXCHANGED // 100, KEPT)]


def test_a_command_that_is_killed(tmp_path: Path) -> None:
    argv = [*SLABTRACE, "record", "-o", str(tmp_path / "t.slab"), "--stacks", "none", "--", "sh", "-c"]
    done = subprocess.run([*argv, "kill -KILL $$"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 and "the command ended with status -9" in done.stderr
    manifest = slabtrace.open(tmp_path / "t.slab").manifest
    assert manifest.command is not None and manifest.command.exit_status == -signal.SIGKILL
    assert manifest.status == COMPLETE


def test_in_a_time_namespace_one_line_says_why_not(tmp_path: Path) -> None:
    """Its clock is another one than the programs', so that every event would lie outside the recording."""
    argv = ["unshare", "--time", "--monotonic", "100003", *SLABTRACE, "record", "-d", "100ms"]
    trace = tmp_path / "t.slab"
    done = subprocess.run([*argv, "-o", str(trace)], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 4 and re.match("slabtrace: this is a time namespace", done.stderr)
    assert len(done.stderr.splitlines()) == 2 and not trace.exists()


@pytest.mark.parametrize("phase", [*PHASES, "recording", "ending"])
def test_killed_at_a_random_moment(tmp_path: Path, phase: str) -> None:
    """What was flushed is readable and the kernel is clean; a hundred times: python -m tests.faults kill."""
    outcome, wrong = kill(tmp_path / "t.slab", phase, Random().uniform(0, 0.5))
    assert wrong == [], outcome
