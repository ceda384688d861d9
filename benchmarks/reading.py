# SPDX-License-Identifier: Apache-2.0
"""How fast a recording is read: `slabtrace stat` and `leaks` beside `perf kmem stat`, on the same load.

The load opens and closes a pipe in a loop on every CPU; both tools record it.  Then slabtrace reads
recordings that are 10 and 100 times as large: time should grow with the events, memory should not.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import machine
from benchmarks.loads import Load
from benchmarks.machine import Unavailable
from benchmarks.table import print_table
from benchmarks.tracers import Tracer, manifest, perf_kmem, slabtrace
from slabtrace.errors import FOUND

SIZES = (1_000_000, 10_000_000, 100_000_000)  # events
ROUNDS = 3
EVENTS_OF_ONE = 14  # slab events of opening and closing a pipe, about
_SAMPLES = re.compile(r"SAMPLE events:\s+(\d+)")


class Run(NamedTuple):
    """One command on one recording: events, wall time, and peak memory."""

    events: int
    seconds: float
    rss_mib: float

    @property
    def events_per_s(self) -> float:
        """Events read per second, including the start of the program."""
        return self.events / self.seconds


def main(quick: bool) -> None:
    """Print one table."""
    print("### Reading: stat and leaks beside perf kmem stat\n")
    rounds = 1 if quick else ROUNDS
    rows = []
    with tempfile.TemporaryDirectory(prefix="slabtrace-reading-", dir="/var/tmp") as name:
        folder = Path(name)
        try:
            peer = _perf(folder, rounds)
            rows.append(_row("perf kmem stat --caller", peer, peer.events_per_s))
        except Unavailable as reason:
            machine.note(f"perf kmem: {reason}")
            peer = None
        for events in SIZES[: 2 if quick else None]:
            trace = _record(folder / str(events), slabtrace, events) / "t.slab"
            count = int(manifest(trace)["totals"]["events"])
            for command in ("stat", "leaks"):
                command_line = [sys.executable, "-m", "slabtrace", command, str(trace)]
                runs = [timed(command_line, count) for _ in range(rounds)]
                rows.append(_row(f"slabtrace {command}", _middle(runs), peer and peer.events_per_s))
            subprocess.run(["rm", "-rf", str(trace)], check=True)
    print_table(("command", "events", "s", "M events/s", "to perf", "peak MiB"), rows)


def _perf(folder: Path, rounds: int) -> Run:
    """`perf kmem stat` on its own recording of the load."""
    place = _record(folder / "perf", perf_kmem, SIZES[0])
    data = ["-i", str(place / "perf.data")]
    stats = subprocess.run(["perf", "report", "--stats", *data], capture_output=True, text=True)
    found = _SAMPLES.search(stats.stdout)
    if found is None:
        raise Unavailable("perf report does not print the number of samples")
    command = ["perf", "kmem", *data, "stat", "--caller", "-l", "20"]
    return _middle([timed(command, int(found.group(1))) for _ in range(rounds)])


def _record(folder: Path, tracer: Tracer, events: int) -> Path:
    """Record about `events` events of the load on every CPU into `folder`."""
    folder.mkdir()
    machine.note(f"reading: recording {events:,} events with {tracer.__name__}")
    with ExitStack() as stack:
        loads = [stack.enter_context(Load("pipes", cpu)) for cpu in sorted(os.sched_getaffinity(0))]
        with tracer(folder):
            for load in loads:
                load.begin("ops", events / EVENTS_OF_ONE / len(loads))
            for load in loads:
                load.finish()
    return folder


def timed(command: list[str], events: int) -> Run:
    """Run a command without showing its output.  wait4 reports the memory of this child only."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, FOUND):  # `mismatches` found some
        raise Unavailable(f"{' '.join(command)} failed")
    return Run(events, time.monotonic() - begun, _rss(usage))


def _rss(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / 1024


def _middle(runs: Sequence[Run]) -> Run:
    return Run(runs[0].events, median(run.seconds for run in runs), max(run.rss_mib for run in runs))


def _row(name: str, run: Run, peer: float | None) -> tuple[str, ...]:
    speed = run.events_per_s
    ratio = f"{speed / peer:.1f}x" if peer else "-"
    return (name, f"{run.events:,}", f"{run.seconds:.2f}", f"{speed / 1e6:.2f}", ratio, f"{run.rss_mib:.0f}")
