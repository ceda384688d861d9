# SPDX-License-Identifier: Apache-2.0
"""Start a recorder and a load, and check the trace and the kernel afterwards."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow as pa

import slabtrace
from slabtrace.capture.marks import recorders
from slabtrace.commands.main import run
from slabtrace.trace import manifest
from tests.live.bpf_objects import Object, loaded

LIVE = Path(__file__).resolve().parents[1] / "live"
GONE_S = 60  # programs are freed after an RCU grace period, which is long on a busy machine


@contextmanager
def load(place: Path) -> Iterator[None]:
    """Every CPU opens and closes pipes within the `with` block."""
    program = place / "pipes"
    subprocess.run(["gcc", "-O2", "-o", program, LIVE / "pipes.c"], check=True)
    running = subprocess.Popen(["nice", program], process_group=0)
    try:
        yield
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def start(trace: Path, *options: str) -> subprocess.Popen[str]:
    """Start a recorder without filters and without stacks in the background."""
    argv = [sys.executable, "-m", "slabtrace", "record", "-o", str(trace), "--stacks", "none", *options]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def until(condition: Callable[[], object], seconds: float = 120) -> bool:
    """Wait until `condition` is true; False if it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def process_state(pid: int) -> str:
    """R, S, T (stopped) or Z (ended, not waited for), as in proc(5); X if it was waited for."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"


def saved(trace: Path) -> manifest.Manifest | None:
    """The manifest as it is now; None if there is none yet."""
    with contextlib.suppress(slabtrace.errors.TraceError):
        return manifest.load(trace)
    return None


def answer(*arguments: str) -> tuple[int, dict[str, object], str]:
    """Run a command in this process: exit code, JSON object, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([*arguments, "--json"])
    return code, json.loads(out.getvalue()) if code == 0 else {}, err.getvalue()


def in_files(trace: Path) -> int:
    """Events in complete batches of the files, as Arrow's own stream reader finds them."""
    events = 0
    for path in sorted((trace / "events").glob("*.arrow")):
        file = pa.memory_map(str(path))
        file.seek(8)  # skip the magic bytes of the file; the stream follows
        with contextlib.suppress(pa.ArrowInvalid, OSError, EOFError, StopIteration):
            reader = pa.ipc.open_stream(file)
            while True:
                events += reader.read_next_batch().num_rows
    return events


def wrong_with_trace(trace: Path, saved_events: int) -> list[str]:
    """What is wrong with the trace of a killed recorder; `saved_events`: what its manifest had counted."""
    if not trace.exists():
        return []
    if not (trace / "manifest.json").exists():
        return ["events without a manifest"] if in_files(trace) else []
    wrong = []
    for command in ("info", "stat"):
        code, found, err = answer(command, str(trace))
        if code != 0:
            wrong.append(f"{command}: exit code {code}: {err.strip()}")
        elif command == "stat" and found["completeness"]["events"] != in_files(trace):  # type: ignore[index]
            wrong.append(f"stat has {found['completeness']['events']} of {in_files(trace)} events")  # type: ignore[index]
    if in_files(trace) < saved_events:
        wrong.append(f"{in_files(trace)} events, though the manifest had counted {saved_events}")
    return wrong


def wrong_with_kernel(pid: int, objects: set[Object], mounts: set[str]) -> list[str]:
    """What an ended recorder has left: programs and maps, mounts, its socket for marks."""
    wrong = []
    if not until(lambda: not objects & loaded(), GONE_S):
        wrong.append(f"still in the kernel: {sorted(objects & loaded())}")
    new = {line for line in mount_lines() - mounts if "slabtrace" in line or " bpf " in line}
    wrong += [f"mounted: {line}" for line in sorted(new)]
    if pid in recorders():
        wrong.append("its socket for marks still exists")
    return wrong


def mount_lines() -> set[str]:
    """The lines of /proc/self/mounts."""
    return set(Path("/proc/self/mounts").read_text().splitlines())
