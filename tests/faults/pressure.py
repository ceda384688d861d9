# SPDX-License-Identifier: Apache-2.0
"""The machine is taken from under a recorder: its memory (a cgroup of either version), and a CPU."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import slabtrace
from slabtrace.trace.manifest import COMPLETE
from tests.faults.recorder import (
    LIVE,
    load,
    mount_lines,
    saved,
    start,
    until,
    wrong_with_kernel,
    wrong_with_trace,
)
from tests.live.bpf_objects import held

UNIFIED, FIRST = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")
ONLINE = Path("/sys/devices/system/cpu/cpu1/online")
HOG = "import time; held = b'x' * (200 << 20); time.sleep(60)"
KEPT, EXCHANGED = 23, 1_009


@contextmanager
def group() -> Iterator[tuple[Path, Path, Path]]:
    """A new cgroup: its folder, the file of its limit, the file that says what it uses."""
    first = (FIRST / "memory.limit_in_bytes").exists() or not (UNIFIED / "cgroup.controllers").exists()
    folder = (FIRST if first else UNIFIED) / f"slabtrace-{os.getpid()}"
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if first else ("memory.max", "memory.current")
    folder.mkdir()
    try:
        yield folder, folder / names[0], folder / names[1]
    finally:
        until(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


def memory(killed: bool) -> list[str]:
    """A limit 2 MiB above what is used, under load.  `killed`: something else takes that, too."""
    mounts = mount_lines()
    with tempfile.TemporaryDirectory(prefix="slabtrace-memory-") as name, group() as (folder, limit, used):
        trace = Path(name) / "t.slab"
        with load(Path(name)):
            recorder = start(trace, "--buffer", "8")
            (folder / "cgroup.procs").write_text(str(recorder.pid))
            until(lambda: _events(trace) > 100_000)
            Path(f"/proc/{recorder.pid}/oom_score_adj").write_text("1000")
            objects, before = held(str(recorder.pid)), _events(trace)
            limit.write_text(str(int(used.read_text()) + (2 << 20)))
            if killed:
                hog = subprocess.Popen([sys.executable, "-c", "input();" + HOG], stdin=subprocess.PIPE)
                (folder / "cgroup.procs").write_text(str(hog.pid))
                hog.communicate(b"\n")
            else:
                until(lambda: _events(trace) > before + 1_000_000)
                recorder.send_signal(signal.SIGINT)
            said = recorder.communicate()[1]
        print(
            f"memory, killed={killed}: ended with {recorder.returncode}; {before:,} events before the limit,"
        )
        print(f"  {_events(trace):,} by the manifest; {said.splitlines()[:1]}")
        wrong = wrong_with_trace(trace, before) + wrong_with_kernel(recorder.pid, objects, mounts)
        if recorder.returncode != (-signal.SIGKILL if killed else 0):
            wrong.append(f"ended with {recorder.returncode}: {said}")
        return wrong


def _events(trace: Path) -> int:
    now = saved(trace)
    return now.totals.events if now is not None else 0


def cpu() -> list[str]:
    """A CPU goes and comes back; what a program leaves before, meanwhile and after is known."""
    wrong = []
    with tempfile.TemporaryDirectory(prefix="slabtrace-cpu-") as name:
        program, trace = Path(name) / "leaver", Path(name) / "t.slab"
        subprocess.run(["gcc", "-O2", "-o", program, LIVE / "leaver.c"], check=True)
        recorder = start(trace)
        until(lambda: (now := saved(trace)) is not None and now.coverage.attached)
        left = [_leave(program)]
        try:
            ONLINE.write_text("0")
            left.append(_leave(program))
            time.sleep(1.5)  # the books are kept while it is gone
        finally:
            ONLINE.write_text("1")
        left.append(_leave(program))
        recorder.send_signal(signal.SIGINT)
        said = recorder.communicate()[1]
        opened = slabtrace.open(trace)
        for pid, queue in left:
            ctypes.CDLL(None).msgctl(queue, 0, None)
            leaks = opened.leaks(by="call_site", pid=[pid])
            found = leaks[leaks["symbol"].str.match(r"(load_msg|alloc_msg)\+")][["allocated", "outstanding"]]
            print(f"cpu: of {KEPT + EXCHANGED}, {KEPT} kept: {found.values.tolist()}")
            if found.values.tolist() != [[KEPT + EXCHANGED, KEPT]]:
                wrong.append(f"process {pid} left {found.values.tolist()}")
        if opened.manifest.status != COMPLETE or recorder.returncode:
            wrong.append(said)
    return wrong


def _leave(program: Path) -> tuple[int, int]:
    """Run the leaver; its pid and its queue."""
    with subprocess.Popen([program, str(KEPT), str(EXCHANGED), "0", "0"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        queue = int(process.stdout.read().split()[0])
    return process.pid, queue
