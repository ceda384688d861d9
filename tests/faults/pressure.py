# SPDX-License-Identifier: Apache-2.0
"""Take memory (by a cgroup, version 1 or 2) or a CPU away from a recorder."""

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
THROTTLED_S = 20
ENOUGH, MARGIN = 300_000, 64 << 10  # events to record before the limit, and after it; bytes


@contextmanager
def group() -> Iterator[tuple[Path, Path, Path]]:
    """A new cgroup: its folder, the file of its hard limit, the file of its memory use."""
    folder = (UNIFIED if unified() else FIRST) / f"slabtrace-{os.getpid()}"
    names = (
        ("memory.max", "memory.current") if unified() else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    )
    folder.mkdir()
    try:
        yield folder, folder / names[0], folder / names[1]
    finally:
        until(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


def unified() -> bool:
    """Whether cgroup version 2 controls memory."""
    file = UNIFIED / "cgroup.controllers"
    return file.exists() and "memory" in file.read_text().split()


def memory(fault: str) -> list[str]:
    """Limit the memory of a recorder under load; returns what is wrong.

    `fault` is "limited": the limit is MARGIN above the current use; "killed": another process then uses
    up the rest as well; "throttled": memory.high is half of the current use for THROTTLED_S, so that the
    kernel delays each allocation above it by up to 2 s (cgroup version 2 only).

    The load starts after everything is attached, and except for "killed" ends before anything is
    detached: QEMU's emulated CPUs fail if the kernel patches itself under load (tests/kernels/guest.py).
    """
    mounts = mount_lines()
    with tempfile.TemporaryDirectory(prefix="slabtrace-memory-") as name, group() as (folder, limit, used):
        trace = Path(name) / "t.slab"
        recorder = start(trace, "--buffer", "8")
        (folder / "cgroup.procs").write_text(str(recorder.pid))
        until(lambda: _events(trace))
        with load(Path(name)):
            until(lambda: _events(trace) > ENOUGH)
            objects, before = held(str(recorder.pid)), _events(trace)
            if fault == "throttled":
                (folder / "memory.high").write_text(str(int(used.read_text()) // 2))
                time.sleep(THROTTLED_S)  # the fault itself
                (folder / "memory.high").write_text("max")
            else:
                limit.write_text(str(int(used.read_text()) + MARGIN))
            if fault == "killed":
                Path(f"/proc/{recorder.pid}/oom_score_adj").write_text("1000")
                hog = subprocess.Popen([sys.executable, "-c", "input();" + HOG], stdin=subprocess.PIPE)
                (folder / "cgroup.procs").write_text(str(hog.pid))
                hog.communicate(b"\n")
            else:
                until(lambda: _events(trace) > before + ENOUGH)
        recorder.send_signal(signal.SIGINT)
        printed = recorder.communicate()[1]
        reached = times_reached(folder, fault)
        print(f"memory, {fault}: exit code {recorder.returncode}; {before:,} events before the limit,")
        print(f"  {_events(trace):,} in the manifest; {printed.splitlines()[:1]}; limit hit {reached} times")
        wrong = wrong_with_trace(trace, before) + wrong_with_kernel(recorder.pid, objects, mounts)
        if not reached:
            wrong.append("the limit was never reached")
        if recorder.returncode != (-signal.SIGKILL if fault == "killed" else 0):
            wrong.append(f"exit code {recorder.returncode}: {printed}")
        if "apparent" in printed:
            wrong.append(f"wrong frees were reported because events were dropped: {printed}")
        return wrong


def times_reached(folder: Path, fault: str) -> int:
    """How often the group reached its limit, by the kernel's count."""
    if not unified():
        return int((folder / "memory.failcnt").read_text())
    fields = (folder / "memory.events").read_text().split()
    return int(fields[fields.index("high" if fault == "throttled" else "max") + 1])


def _events(trace: Path) -> int:
    now = saved(trace)
    return now.totals.events if now is not None else 0


def cpu() -> list[str]:
    """Take CPU 1 offline while recording; a program leaks known messages before, during and after it."""
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
            time.sleep(1.5)  # once-a-second records are written while it is offline
        finally:
            ONLINE.write_text("1")
        left.append(_leave(program))
        recorder.send_signal(signal.SIGINT)
        printed = recorder.communicate()[1]
        opened = slabtrace.open(trace)
        for pid, queue in left:
            ctypes.CDLL(None).msgctl(queue, 0, None)
            leaks = opened.leaks(by="call_site", pid=[pid])
            found = leaks[leaks["symbol"].str.match(r"(load_msg|alloc_msg)\+")][["allocated", "outstanding"]]
            print(f"cpu: {KEPT + EXCHANGED} messages, {KEPT} left: {found.values.tolist()}")
            if found.values.tolist() != [[KEPT + EXCHANGED, KEPT]]:
                wrong.append(f"process {pid}: found {found.values.tolist()}")
        if opened.manifest.status != COMPLETE or recorder.returncode:
            wrong.append(printed)
    return wrong


def _leave(program: Path) -> tuple[int, int]:
    """Run the leaver; returns its pid and its queue."""
    with subprocess.Popen([program, str(KEPT), str(EXCHANGED), "0", "0"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        queue = int(process.stdout.read().split()[0])
    return process.pid, queue
