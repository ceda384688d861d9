# SPDX-License-Identifier: Apache-2.0
"""What live tests share: the compiled workload, running `slabtrace record`, and a clean kernel after."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slabtrace.capture.kernel.btf import Btf
from slabtrace.capture.process.running import hierarchies
from slabtrace.capture.programs.silent_paths import hides_process_1
from slabtrace.trace import manifest
from tests.live.bpf_objects import held, loaded

HERE = Path(__file__).parent
SLABTRACE = [sys.executable, "-m", "slabtrace"]
LEAVER = f"leaver-{os.getpid()}"  # no other run of the tests has a program of this name
BY_LEAVER = ("--comm", LEAVER)  # where the kernel counts per call site or cache, not per task
_IPC_RMID = 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.live)


# Nothing takes so long: beside ten busy processes a recorder starts within 30 s; emulated CPUs need more.
PATIENCE_S = float(os.environ.get("SLABTRACE_PATIENCE_S", "180"))


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """What `condition` returns once it is true; fails the test if that takes too long."""
    deadline = time.monotonic() + seconds
    while not (outcome := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.01)
    return outcome


@pytest.fixture(scope="session", autouse=True)
def noise(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --noise: other processes use the same call sites and caches all the while."""
    if not request.config.getoption("--noise"):
        yield
        return
    with noise_process() as process:
        yield
        assert process.poll() is None, "the noise ended before the tests"


@contextmanager
def noise_process(*options: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m tests.noise`, at work; it has ended and tidied up when the block ends."""
    argv = [sys.executable, "-m", "tests.noise", *options]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        process.wait(PATIENCE_S)


@pytest.fixture(autouse=True)
def nothing_left_in_the_kernel() -> Iterator[None]:
    """After every live test, no BPF program that was loaded meanwhile stays without a process that holds it.

    Other processes load and close programs at any time: only what is there when the test ends can be the
    test's own.  The kernel frees programs after an RCU grace period.
    """
    before = loaded(["prog"])
    yield
    new = loaded(["prog"]) - before
    wait_for(lambda: not (new & loaded(["prog"])) - held())


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile tests/live/NAME.c; the program is called NAME-PID, as that of no other run of the tests."""
    folder = tmp_path_factory.mktemp("workloads")

    def compiled(name: str) -> Path:
        program = folder / f"{name}-{os.getpid()}"
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

    def pid(self) -> int:
        """The leaver's process."""
        command = manifest.load(self.trace).command
        assert command is not None
        return command.pid


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
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)
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
        _, stderr = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, stderr


@pytest.fixture
def start_recording(tmp_path: Path) -> Iterator[Callable[..., Recording]]:
    """Start `slabtrace record` with options; killed after the test if it still runs."""
    started: list[Recording] = []

    def start(*options: str, trace: Path | None = None) -> Recording:
        trace = trace or tmp_path / f"recording-{len(started)}.slab"
        inspect = [] if "--inspect" in options else ["--no-inspect"]
        argv = [*SLABTRACE, "record", "-o", str(trace), "--stacks", "none", *inspect, *options]
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
def cgroup2() -> Iterator[Path]:
    """Where the default hierarchy is mounted."""
    mounted = [each.mount for each in hierarchies() if not each.controllers]
    if mounted:
        yield mounted[0]
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "cgroup2", "none", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


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


@pytest.fixture(scope="session")
def tries() -> int:
    """Recordings of which one must show all frees.

    A kernel that runs no program in interrupts of process 1 hides all that an RCU callback frees there, now
    and then (silent_paths.PROCESS_1).
    """
    types = Btf()
    hides = hides_process_1(types)
    types.close()
    return 2 if hides else 1


def slabtrace_json(*arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON object a command prints, which ends with the exit code `code`."""
    done = subprocess.run(
        [*SLABTRACE, *arguments, "--json"], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == code, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content
