# SPDX-License-Identifier: Apache-2.0
"""What live tests share: the compiled workload, running `slabtrace record`, and a clean kernel after."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slabtrace.trace import manifest
from tests.live.bpf_objects import held, loaded

HERE = Path(__file__).parent
SLABTRACE = [sys.executable, "-m", "slabtrace"]
_IPC_RMID = 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.live)


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What `condition` returns once it is true; fails the test if that takes too long."""
    deadline = time.monotonic() + seconds
    while not (outcome := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.01)
    return outcome


@pytest.fixture(autouse=True)
def nothing_left_in_the_kernel() -> Iterator[None]:
    """After every live test, no new BPF program is loaded that no process holds."""
    before = loaded(["prog"])
    yield
    # the kernel frees programs after an RCU grace period
    wait_for(lambda: loaded(["prog"]) - held() <= before)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile tests/live/NAME.c; returns the program."""
    folder = tmp_path_factory.mktemp("workloads")

    def compiled(name: str) -> Path:
        program = folder / name
        if not program.exists():
            subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", program, HERE / f"{name}.c"], check=True)
        return program

    return compiled


@dataclass
class Leaver:
    """One run of the leaver workload under `slabtrace record`."""

    trace: Path
    queue: int
    child: int
    stderr: str


@pytest.fixture
def record_leaver(build: Callable[[str], Path], tmp_path: Path) -> Iterator[Callable[..., Leaver]]:
    """Record `leaver MESSAGES EXCHANGED PIPES KEPT`; queues and children are given back afterwards."""
    runs: list[Leaver] = []

    def run(*numbers: int, options: tuple[str, ...] = ()) -> Leaver:
        trace = tmp_path / f"leaver-{len(runs)}.slab"
        argv = [
            *SLABTRACE,
            "record",
            "-o",
            str(trace),
            *options,
            "--",
            str(build("leaver")),
            *map(str, numbers),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        queue, child = map(int, done.stdout.split())
        runs.append(Leaver(trace, queue, child, done.stderr))
        return runs[-1]

    yield run
    libc = ctypes.CDLL(None)
    for leaver in runs:
        libc.msgctl(leaver.queue, _IPC_RMID, None)
        if leaver.child:
            os.kill(leaver.child, signal.SIGKILL)


@dataclass
class Recording:
    """A `slabtrace record` in the background."""

    process: subprocess.Popen[str]
    trace: Path

    def manifest(self) -> manifest.Manifest:
        """What the manifest says now."""
        return manifest.load(self.trace)

    def wait_events(self, count: int) -> None:
        """Until so many events are stored."""
        wait_for(
            lambda: (self.trace / "manifest.json").exists() and self.manifest().totals.events >= count,
        )

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; returns the exit status and what was written to stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stderr


@pytest.fixture
def start_recording(tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    """Start `slabtrace record` with options; killed after the test if it still runs."""
    started: list[Recording] = []

    def start(*options: str, trace: Path | None = None) -> Recording:
        trace = trace or tmp_path / f"recording-{len(started)}.slab"
        argv = [*SLABTRACE, "record", "-o", str(trace), "--stacks", "none", *options]
        process = subprocess.Popen(
            argv,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            process_group=0,  # SIGTSTP stops only who has a parent in another group of the session
        )
        started.append(Recording(process, trace))
        return started[-1]

    yield start
    for recording in started:
        if recording.process.poll() is None:
            recording.process.kill()
        recording.process.wait()


@pytest.fixture
def load(build: Callable[[str], Path]) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start the pipe load on all CPUs; it ends with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen([build("pipes")], process_group=0))
        return running[-1]

    yield start
    for process in running:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def slabtrace_json(*arguments: str) -> dict[str, Any]:
    """The JSON object a command prints."""
    done = subprocess.run([*SLABTRACE, *arguments, "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content
