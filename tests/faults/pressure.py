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
THROTTLED_S = 20
ENOUGH, MARGIN = 300_000, 64 << 10  # events before a limit, and after it; bytes


@contextmanager
def group() -> Iterator[tuple[Path, Path, Path]]:
    """A new cgroup: its folder, the file of its hard limit, the file that says what it uses."""
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
    """Whether memory is limited by cgroup version 2."""
    file = UNIFIED / "cgroup.controllers"
    return file.exists() and "memory" in file.read_text().split()


def memory(fault: str) -> list[str]:
    """Under load, a limit: "limited", MARGIN above what is used; "killed", where something else takes that,
    too; "throttled", to half of what is used, for a while: the kernel has who takes more sleep up to 2 s for
    a page (version 2 only).

    The load begins when everything is attached, and but for "killed" ends before that is undone: QEMU's
    emulated CPUs do not bear a kernel that patches itself under load (tests/kernels/guest.py).
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
        said = recorder.communicate()[1]
        felt = times_felt(folder, fault)
        print(f"memory, {fault}: ended with {recorder.returncode}; {before:,} events before the limit,")
        print(
            f"  {_events(trace):,} by the manifest; {said.splitlines()[:1]}; the limit was felt {felt} times"
        )
        wrong = wrong_with_trace(trace, before) + wrong_with_kernel(recorder.pid, objects, mounts)
        if not felt:
            wrong.append("the limit was never reached")
        if recorder.returncode != (-signal.SIGKILL if fault == "killed" else 0):
            wrong.append(f"ended with {recorder.returncode}: {said}")
        if "apparent" in said:
            wrong.append(f"what was dropped made it see wrong frees: {said}")
        return wrong


def times_felt(folder: Path, fault: str) -> int:
    """How often the kernel had to keep the group to its limit."""
    if not unified():
        return int((folder / "memory.failcnt").read_text())
    words = (folder / "memory.events").read_text().split()
    return int(words[words.index("high" if fault == "throttled" else "max") + 1])


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
