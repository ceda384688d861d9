# SPDX-License-Identifier: Apache-2.0
"""The noise allocates at the call sites that the tests count, and leaves nothing behind, even when killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import slabtrace
from tests.live.conftest import Recording, noise_process, wait_for

SOME = {"load_msg", "alloc_pipe_info", "alloc_empty_file", "sk_prot_alloc", "__d_alloc"}


def workers(parent: int) -> list[int]:
    """The children of a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in children.read_text().split()]


def messages_of(pids: list[int]) -> list[str]:
    """The System V queues that one of these processes has sent to."""
    rows = [line.split() for line in Path("/proc/sysvipc/msg").read_text().splitlines()[1:]]
    return [row[1] for row in rows if int(row[5]) in pids]


def test_it_uses_the_call_sites_that_the_tests_count(start_recording: Callable[..., Recording]) -> None:
    with noise_process("--cpus", "0") as noise:
        (worker,) = workers(noise.pid)
        recording = start_recording("--pid", str(worker))
        recording.wait_events(10_000)
        assert recording.end()[0] == 0
    sites = slabtrace.open(recording.trace).stat("call_site")
    made = {symbol.split("+")[0] for symbol in sites["symbol"]}
    assert made >= SOME, made
    assert sites["outstanding"].sum() > 0
    assert messages_of([worker]) == []


def test_killed_it_leaves_no_queue_and_no_process() -> None:
    with noise_process("--cpus", "0") as noise:
        pids = workers(noise.pid)
        folder = Path(Path(f"/proc/{pids[0]}/cmdline").read_text().split("\0")[3])
        wait_for(lambda: messages_of(pids))
        os.kill(noise.pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert messages_of(pids) == []
    assert not folder.exists()
