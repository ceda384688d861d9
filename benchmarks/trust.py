# SPDX-License-Identifier: Apache-2.0
"""What twins recover and cost, and whether stored and lost events add up to all events.

`perf stat` counts the same tracepoints on all CPUs, independently.  It runs during the recording, and
the load runs during the count.  The core is the time in which perf certainly counted; the outer span
is the time in which it may have counted.  The two differ by a few idle milliseconds at each end.  The
events stored in the core are at most those that perf counted; the events stored in the outer span
plus all losses are at least as many.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import slabtrace
from benchmarks import tracers
from benchmarks.loads import EVENTS, Load, run_everywhere
from benchmarks.machine import Unavailable, note, wait_until_quiet
from benchmarks.table import print_table
from slabtrace.analysis.trust.completeness import Completeness
from slabtrace.trace.format.schema import Kind
from slabtrace.trace.reading.reader import TraceReader

LOAD, TWINS = "pipes", ("none", "frees", "all")
HEAD = (
    "twins",
    "M events",
    "perf stat counted",
    "stored in core..outer",
    "skipped by the kernel",
    "recovered",
    "lost",
    "allocated while live",
    "found free at the end",
    "second frees",
    "ns per operation",
)


@dataclass
class Counter:
    """One run of `perf stat`: its count, and begin and end (CLOCK_MONOTONIC ns) of both spans."""

    outer: list[int] = field(default_factory=list)
    core: list[int] = field(default_factory=list)
    counted: int = 0


@contextlib.contextmanager
def counting() -> Iterator[Counter]:
    """Count the slab events of all CPUs that have an object.  Raises Unavailable if perf cannot count."""
    with tempfile.NamedTemporaryFile("r") as result:
        # failed allocations and kfree(NULL) have no object
        events = [option for event in EVENTS for option in ("-e", event, "--filter", "ptr > 16")]
        command = ["perf", "stat", "-x", ",", "-a", "-o", result.name, *events, "--", "cat"]
        counter = Counter([time.monotonic_ns()])
        perf = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if perf.stdin is None or perf.stdout is None:
            raise Unavailable("perf stat has no stdin or stdout")
        perf.stdin.write(b"counting\n")
        perf.stdin.flush()
        if not perf.stdout.readline():
            raise Unavailable("perf stat cannot count the kmem tracepoints here")
        counter.core.append(time.monotonic_ns())
        yield counter
        counter.core.append(time.monotonic_ns())
        perf.communicate()
        counter.outer.append(time.monotonic_ns())
        lines = [line.split(",") for line in Path(result.name).read_text().splitlines()]
        counter.counted = sum(int(line[0]) for line in lines if len(line) > 2 and line[2] in EVENTS)


@dataclass
class Run:
    """One recording: what perf counted, how many events of each span are stored, and what is lost."""

    twins: str
    counter: Counter
    core: int
    outer: int
    ns_per_operation: float
    complete: Completeness

    @property
    def matches(self) -> bool:
        """Whether stored and lost events explain the count of perf."""
        return self.core <= self.counter.counted <= self.outer + self.complete.lost

    def cells(self) -> list[str]:
        """The cells of a row of the table."""
        seen = self.complete
        numbers = (
            seen.recursion_missed,
            seen.recovered,
            seen.lost,
            seen.missed_frees_inferred - seen.inferred_by_page_end - seen.found_free,
            seen.found_free,
            seen.second_frees,
        )
        counted = f"{self.counter.counted:,}{'' if self.matches else ' (!)'}"
        stored = f"{self.core:,}..{self.outer:,}"
        cells = [self.twins, f"{seen.events / 1e6:.1f}", counted, stored, *(f"{n:,}" for n in numbers)]
        return [*cells, f"{self.ns_per_operation:,.0f}"]


def record(twins: str, seconds: float) -> Run:
    """Record the load on all CPUs for `seconds`.  Raises Unavailable if perf cannot count."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-bench-") as name, contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Load(LOAD, cpu)) for cpu in sorted(os.sched_getaffinity(0))]
        folder = Path(name)
        with tracers.slabtrace(folder, options=("--twins", twins)), counting() as counter:
            _, ns = run_everywhere(loads, seconds)
            time.sleep(1)  # objects that RCU still has to free belong to the load
        trace = folder / "t.slab"
        core, outer = (stored_between(trace, *span) for span in (counter.core, counter.outer))
        return Run(twins, counter, core, outer, ns, slabtrace.open(trace).completeness())


def stored_between(trace: Path, begin_ns: int, end_ns: int) -> int:
    """How many allocations and frees of objects the trace has in that time."""
    reader = TraceReader(trace)
    kind = reader.sites.column("kind").to_numpy()
    is_object = np.isin(kind, [Kind.KMALLOC, Kind.CACHE_ALLOC, Kind.KFREE, Kind.CACHE_FREE])
    count = 0
    for batch in reader.events():
        first, last = np.searchsorted(batch.ts_ns, [begin_ns, end_ns])
        count += int(np.count_nonzero(is_object[batch.site[first:last]]))
    return count


def main(quick: bool) -> None:
    """Record with each setting of --twins, three times."""
    seconds, rounds = (2, 1) if quick else (10, 3)
    runs = []
    for number in range(rounds):
        for twins in TWINS:
            wait_until_quiet()
            note(f"trust: --twins {twins}, round {number + 1} of {rounds}")
            runs.append(record(twins, seconds))
    print(f"### Every event accounted for: load `{LOAD}` on all CPUs, {seconds} s each\n")
    print_table(HEAD, [run.cells() for run in sorted(runs, key=lambda run: TWINS.index(run.twins))])
    matching = sum(run.matches for run in runs)
    print(
        f"Stored in the core <= counted by perf stat <= stored in the outer span + lost: {matching} of "
        f"{len(runs)}.\n"
    )
