# SPDX-License-Identifier: Apache-2.0
"""The tracers that are compared, each as a context manager: inside the `with` block it traces.

On one CPU, all of them read events on tracer_cpu().  The block begins when the tracer shows that it
is attached, not when its process has started.  Each stores its files in the folder that it is given.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.loads import EVENTS
from benchmarks.machine import Unavailable, pinned, tracer_cpu

_ATTACH_S = 60.0
_END_S = 120.0
_SETTLE_S = 0.3  # after a tracer reports that it is attached: until its start-up work is done
_PT_REGS = """\
struct pt_regs { unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di,
orig_ax, ip, cs, flags, sp, ss; };
"""

Attached = Callable[["Running"], bool]
Tracer = Callable[[Path], contextlib.AbstractContextManager[Any]]


@dataclass
class Running:
    """A tracer's process, the folder it writes to, and the `log` of its stdout and stderr."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    begun_ns: int

    def last_words(self) -> str:
        """The last line that it printed, to explain why it ended."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else "it printed nothing"


@contextmanager
def running(
    command: list[str],
    folder: Path,
    attached: Attached,
    stop: signal.Signals = signal.SIGINT,
    environment: dict[str, str] | None = None,
    cpu: int | None = None,
) -> Iterator[Running]:
    """Start a tracer, wait until it is `attached`, stop it at the end of the block.

    Raises Unavailable if it is not installed, ends by itself, or does not attach within _ATTACH_S.
    """
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not installed")
    log = folder / "log"
    full = command if cpu is None else pinned(cpu, command)
    with log.open("wb") as output:
        begun = time.monotonic_ns()
        process = subprocess.Popen(
            full, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=os.environ | (environment or {})
        )
    tracer = Running(process, folder, log, begun)
    try:
        _wait_until(attached, tracer)
        yield tracer
    finally:
        _end(process, stop)


def _wait_until(attached: Attached, tracer: Running) -> None:
    deadline = time.monotonic() + _ATTACH_S
    while not attached(tracer):
        if tracer.process.poll() is not None:
            raise Unavailable(f"it ended: {tracer.last_words()}")
        if time.monotonic() > deadline:
            raise Unavailable(f"not attached after {_ATTACH_S:.0f} s: {tracer.last_words()}")
        time.sleep(0.02)
    time.sleep(_SETTLE_S)


def _end(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(stop)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def slabtrace(
    folder: Path, stacks: str = "none", cpu: int | None = None, options: Sequence[str] = ()
) -> contextlib.AbstractContextManager[Running]:
    """Run `slabtrace record` of this checkout, into `folder`/t.slab."""
    trace = folder / "t.slab"
    command = [sys.executable, "-m", "slabtrace", "record", "--stacks", stacks, "--no-inspect", *options]
    command += ["-o", str(trace)]
    return running(
        command, folder, lambda _: bool(manifest(trace).get("coverage", {}).get("attached")), cpu=cpu
    )


def survivors(folder: Path, stacks: str) -> contextlib.AbstractContextManager[Running]:
    """Run `slabtrace record --mode survivors`."""
    return slabtrace(folder, stacks, tracer_cpu(), ["--mode", "survivors"])


def manifest(trace: Path) -> dict[str, Any]:
    """The manifest of a trace as it is now; empty if there is none yet."""
    try:
        content: dict[str, Any] = json.loads((trace / "manifest.json").read_text())
    except FileNotFoundError:
        return {}
    return content


def perf_record(
    folder: Path, cpu: int | None = None, stacks: bool = False, options: Sequence[str] = ()
) -> contextlib.AbstractContextManager[Running]:
    """Run `perf record` on the four kmem events of all CPUs; `stacks`: with kernel and user stacks (-g)."""
    events = [option for event in EVENTS for option in ("-e", event)]
    command = ["perf", "record", *options, *events, "-a", *(["-g"] if stacks else [])]
    command += ["-o", str(folder / "perf.data")]
    return running(command, folder, _perf_attached, cpu=cpu)


def perf_kmem(folder: Path, cpu: int | None = None) -> contextlib.AbstractContextManager[Running]:
    """Run `perf kmem record`, which records the same events and more."""
    command = ["perf", "kmem", "record", "-o", str(folder / "perf.data")]
    return running(command, folder, _perf_attached, cpu=cpu)


def _perf_attached(tracer: Running) -> bool:
    """Whether perf has opened its events and has begun to write, which it does once they are enabled."""
    links = Path(f"/proc/{tracer.process.pid}/fd")
    data = tracer.folder / "perf.data"
    with contextlib.suppress(FileNotFoundError):
        opened = sum("perf_event" in str(link.readlink()) for link in links.iterdir())
        return opened >= len(EVENTS) * (os.cpu_count() or 1) and data.stat().st_size > 4096
    return False


def memleak(folder: Path, cpu: int | None = None) -> contextlib.AbstractContextManager[Running]:
    """Run bcc's memleak on the kernel's allocators: it pairs in the kernel, with a stack per allocation.

    It needs kernel headers; slabtrace's own headers and a struct pt_regs are enough.
    """
    headers = folder / "headers"
    shutil.copytree(Path(__file__).resolve().parents[1] / "bpf" / "kernel-headers", headers)
    with (headers / "include/uapi/linux/ptrace.h").open("a") as file:
        file.write(_PT_REGS)
    environment = {"BCC_KERNEL_SOURCE": str(headers), "PYTHONUNBUFFERED": "1"}
    return running(
        ["memleak-bpfcc", "86400"], folder, _says("Attaching to kernel"), signal.SIGTERM, environment, cpu
    )


def bpftrace(folder: Path, script: str, cpu: int | None = None) -> contextlib.AbstractContextManager[Running]:
    """Run SCRIPT.bt of this folder with bpftrace: a script as users write it on the command line."""
    path = Path(__file__).parent / f"{script}.bt"
    environment = {"BPFTRACE_MAX_MAP_KEYS": "1000000", "BPFTRACE_MAP_KEYS_MAX": "1000000"}
    command = ["bpftrace", "-B", "line", str(path)]
    return running(command, folder, _says("attached"), signal.SIGTERM, environment, cpu)


def trace_cmd(folder: Path, cpu: int | None = None) -> contextlib.AbstractContextManager[Running]:
    """Run `trace-cmd record` on the same events; it needs a kernel with ftrace's ring buffer."""
    events = [option for event in EVENTS for option in ("-e", event)]
    command = ["trace-cmd", "record", *events, "-o", str(folder / "trace.dat")]
    return running(command, folder, _says("Hit Ctrl^C"), cpu=cpu)


def _says(text: str) -> Attached:
    return lambda tracer: text in tracer.log.read_text(errors="replace")


# Name in the table and how to run it, in the order of the table.
ON_ONE_CPU: dict[str, Tracer] = {
    "slabtrace record --stacks none": lambda folder: slabtrace(folder, "none", tracer_cpu()),
    "slabtrace record --stacks auto": lambda folder: slabtrace(folder, "auto", tracer_cpu()),
    "slabtrace record --stacks all": lambda folder: slabtrace(folder, "all", tracer_cpu()),
    "slabtrace record --mode survivors --stacks none": lambda folder: survivors(folder, "none"),
    "slabtrace record --mode survivors --stacks auto": lambda folder: survivors(folder, "auto"),
    "perf record, four kmem events": lambda folder: perf_record(folder, tracer_cpu()),
    "perf record -g, the same with stacks": lambda folder: perf_record(folder, tracer_cpu(), stacks=True),
    "perf kmem record": lambda folder: perf_kmem(folder, tracer_cpu()),
    "memleak-bpfcc": lambda folder: memleak(folder, tracer_cpu()),
    "bpftrace, counting": lambda folder: bpftrace(folder, "count", tracer_cpu()),
    "bpftrace, pairing by address": lambda folder: bpftrace(folder, "pair", tracer_cpu()),
    "trace-cmd record, four kmem events": lambda folder: trace_cmd(folder, tracer_cpu()),
}
