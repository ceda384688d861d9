# SPDX-License-Identifier: Apache-2.0
"""A recorder to do things to, a load, and what is to be true of the trace and the kernel afterwards."""

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
GONE_S = 60  # programs go after an RCU grace period, which a busy machine takes its time for


@contextmanager
def load(place: Path) -> Iterator[None]:
    """Every CPU makes and closes pipes for as long as the block lasts."""
    program = place / "pipes"
    subprocess.run(["gcc", "-O2", "-o", program, LIVE / "pipes.c"], check=True)
    running = subprocess.Popen(["nice", program], process_group=0)
    try:
        yield
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def start(trace: Path, *options: str) -> subprocess.Popen[str]:
    """A recorder of everything, in the background."""
    argv = [sys.executable, "-m", "slabtrace", "record", "-o", str(trace), "--stacks", "none", *options]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def until(condition: Callable[[], object], seconds: float = 120) -> bool:
    """Wait for it; False if it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def process_state(pid: int) -> str:
    """R, S, T (stopped), Z (gone, not waited for): proc(5)."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"  # waited for


def saved(trace: Path) -> manifest.Manifest | None:
    """The manifest as it is now; None where there is none yet."""
    with contextlib.suppress(slabtrace.errors.TraceError):
        return manifest.load(trace)
    return None


def said(*words: str) -> tuple[int, dict[str, object], str]:
    """Exit code, JSON object and stderr of a command, run here."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([*words, "--json"])
    return code, json.loads(out.getvalue()) if code == 0 else {}, err.getvalue()


def in_files(trace: Path) -> int:
    """Events in whole batches of the files, as Arrow's own stream reader finds them."""
    events = 0
    for path in sorted((trace / "events").glob("*.arrow")):
        file = pa.memory_map(str(path))
        file.seek(8)  # the magic of a file, before the stream in it
        with contextlib.suppress(pa.ArrowInvalid, OSError, EOFError, StopIteration):
            reader = pa.ipc.open_stream(file)
            while True:
                events += reader.read_next_batch().num_rows
    return events


def wrong_with_trace(trace: Path, saved_events: int) -> list[str]:
    """What a reader may complain of in the trace of a recorder that was killed."""
    if not trace.exists():
        return []
    if not (trace / "manifest.json").exists():
        return ["events without a manifest"] if in_files(trace) else []
    wrong = []
    for command in ("info", "stat"):
        code, told, err = said(command, str(trace))
        if code != 0:
            wrong.append(f"{command} ends with {code}: {err.strip()}")
        elif command == "stat" and told["completeness"]["events"] != in_files(trace):  # type: ignore[index]
            wrong.append(f"stat knows {told['completeness']['events']} of {in_files(trace)} events")  # type: ignore[index]
    if in_files(trace) < saved_events:
        wrong.append(f"{in_files(trace)} events, though the manifest had counted {saved_events}")
    return wrong


def wrong_with_kernel(pid: int, objects: set[Object], mounts: set[str]) -> list[str]:
    """What a recorder that is gone has left behind: of what it held, of mounts, of its name."""
    wrong = []
    if not until(lambda: not objects & loaded(), GONE_S):
        wrong.append(f"still in the kernel: {sorted(objects & loaded())}")
    new = {line for line in mount_lines() - mounts if "slabtrace" in line or " bpf " in line}
    wrong += [f"mounted: {line}" for line in sorted(new)]
    if pid in recorders():
        wrong.append("it still listens for marks")
    return wrong


def mount_lines() -> set[str]:
    """What is mounted."""
    return set(Path("/proc/self/mounts").read_text().splitlines())
