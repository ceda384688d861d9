# SPDX-License-Identifier: Apache-2.0
"""What a tracer costs whole loads: wall time and CPU time of a fixed amount of work, beside other tracers.

All CPUs are the load's and the tracer's alike, as they are for users: what the tracer's own process takes is
missing to the load, and caches are shared.  Each tracer's measurement lies between two without a tracer, and
is divided by their mean; a round has all tracers, in an order that turns from round to round.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from benchmarks import tracers
from benchmarks.loads import built
from benchmarks.machine import Unavailable, note, wait_until_quiet
from benchmarks.probes import Probes
from benchmarks.table import print_table
from slabtrace.capture.options import CaptureOptions

ROOT = Path(__file__).resolve().parents[1]
HACKBENCH = "hackbench"
ROUNDS = 3
_WARM_S = 3.0  # until a budget is kept

Work = Callable[[], list[str]]


def _operations(name: str, count: int) -> Work:
    return lambda: ["sh", "-c", f"echo ops {count} | {built(name)}"]


def _shell(script: str) -> Work:
    return lambda: ["sh", "-ec", script]


def _compile() -> list[str]:
    sources = sorted(str(path) for path in ROOT.glob("benchmarks/loads/*.c"))
    return ["sh", "-ec", f"for f in {' '.join(sources)}; do gcc -O2 -c $f -o /dev/null; done"]


# Each takes two to five seconds on two CPUs.
LOADS: dict[str, Work] = {
    HACKBENCH: lambda: ["perf", "bench", "sched", "messaging", "-g", "8", "-l", "400"],
    "3,000 forks and execs": _shell("i=0; while [ $i -lt 3000 ]; do /bin/true; i=$((i+1)); done"),
    "gcc of 11 files": _compile,
    "TCP, loopback": _operations("tcp", 12_800),
    "files made and removed": _operations("files", 128_000),
    "exits with 8 MiB": _operations("exits", 1_280),
    "a Python test suite": lambda: [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/analysis/names"
    ],
}  # fmt: skip


@dataclass
class Run:
    """One measurement: seconds by the clock, and of CPU (the load's own)."""

    wall_s: float
    cpu_s: float


def measured(work: Work) -> Run:
    """Do the work once."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run(work(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, cwd=ROOT)
    wall, after = time.perf_counter() - begun, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(wall, spent)


def _record(*options: str, stacks: str = "auto") -> tracers.Tracer:
    return lambda folder: tracers.slabtrace(folder, stacks, options=options)


@contextmanager
def _within_budget(folder: Path) -> Iterator[object]:
    """What a budget costs once it is kept: after some seconds of load."""
    with tracers.slabtrace(folder, "auto", options=["--budget", "2%"]) as running:
        until = time.monotonic() + _WARM_S
        while time.monotonic() < until:
            measured(LOADS[HACKBENCH])
        yield running


def _programs(*parts: str, stacks: str = "none") -> tracers.Tracer:
    """Programs of parts.c, or without any those of slab.c; of the rings only the heads are read."""

    @contextmanager
    def attached(_: Path) -> Iterator[None]:
        probes = Probes(CaptureOptions(stacks=stacks))
        try:
            with probes.part(*parts) if parts else probes.whole():
                yield
        finally:
            probes.close()

    return attached


DAYS = ("--mode", "survivors", "--sample", "1/16")
PERF = ("-m", "64M")
TRACERS: dict[str, tracers.Tracer] = {
    "one empty program on each tracepoint": _programs("empty"),
    "two empty programs": _programs("empty", "second"),
    "one program that does all but twins": _programs("cache"),
    "the programs of --stacks none": _programs(),
    "the programs of the default mode": _programs(stacks="auto"),
    "record (default)": _record(),
    "record --stacks none": _record(stacks="none"),
    "record --twins none": _record("--twins", "none"),
    "record --mode survivors": _record("--mode", "survivors"),
    "record --mode survivors --sample 1/16": _record(*DAYS),
    "the same with --twins all": _record(*DAYS, "--twins", "all"),
    "record --sample 1/64": _record("--sample", "1/64"),
    "record --budget 2%, after 3 s": _within_budget,
    "perf record -m 64M": lambda folder: tracers.perf_record(folder, options=PERF),
    "perf record -m 64M -z": lambda folder: tracers.perf_record(folder, options=(*PERF, "-z")),
    "perf record -m 64M -g": lambda folder: tracers.perf_record(folder, stacks=True, options=PERF),
    "bpftrace, counting": lambda folder: tracers.bpftrace(folder, "count"),
    "bpftrace, counting by rawtracepoint": lambda folder: tracers.bpftrace(folder, "count_raw"),
    "memleak-bpfcc": tracers.memleak,
}
QUICK = (HACKBENCH, "3,000 forks and execs")


@dataclass
class Table:
    """Slowdowns by load and tracer; for tracers without any the reason."""

    loads: list[str]
    wall: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    unavailable: dict[str, str] = field(default_factory=dict)

    def round(self, names: list[str]) -> None:
        """Measure each tracer once, with every load."""
        before = self._alone()
        for name in names:
            note(f"whole: {name}")
            try:
                with _traced(TRACERS[name]):
                    taken = {load: measured(LOADS[load]) for load in self.loads}
            except Unavailable as reason:
                self.unavailable[name] = str(reason)
                continue
            after = self._alone()
            for load, run in taken.items():
                near = (before[load], after[load])
                self.wall[load, name].append(run.wall_s / mean(each.wall_s for each in near))
                self.cpu[load, name].append(run.cpu_s / mean(each.cpu_s for each in near))
            before = after

    def _alone(self) -> dict[str, Run]:
        wait_until_quiet()
        return {load: measured(LOADS[load]) for load in self.loads}

    def print(self) -> None:
        """Print wall time of all loads, then CPU time."""
        for what, values in (("wall time", self.wall), ("CPU time of the load itself", self.cpu)):
            print(f"### Slowdown by {what}: median (least..most)\n")
            rows = [[name, *(_cell(values[load, name]) for load in self.loads)] for name in TRACERS]
            print_table(["tracer", *self.loads], rows)
        for name, reason in self.unavailable.items():
            print(f"- {name}: not measured: {reason}")
        print()


def _cell(values: list[float]) -> str:
    return f"{median(values):.2f}x ({min(values):.2f}..{max(values):.2f})" if values else "–"


@contextmanager
def _traced(tracer: tracers.Tracer) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="slabtrace-whole-", dir="/var/tmp") as folder:
        running: AbstractContextManager[object] = tracer(Path(folder))
        with running:
            yield


def main(quick: bool) -> None:
    """Print the tables of all loads; quick: two loads, one round."""
    table, names = Table([*QUICK] if quick else [*LOADS]), [*TRACERS]
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(1 if quick else ROUNDS):
            turn = number * 5 % len(names)
            table.round(names[turn:] + names[:turn])
    table.print()
