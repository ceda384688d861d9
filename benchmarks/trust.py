# SPDX-License-Identifier: Apache-2.0
"""What twins save and cost, and whether events stored and counted losses are all events there were.

The independent count is `perf stat`'s, of the same tracepoints on all CPUs.  It runs within the
recording, and the load within it: between "counting has begun for certain" and "it has not ended
yet" (core), and "it may have begun" and "it has ended for certain" (outer) lie a few idle
milliseconds.  What was stored in the core can be no more than perf counted, and what was stored in
the outer span, with all losses, no less.
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
    "frees of nothing",
    "ns per operation",
)


@dataclass
class Counter:
    """`perf stat` while it ran: times (CLOCK_MONOTONIC ns) that bound the span it counted, and its count."""

    outer: list[int] = field(default_factory=list)
    core: list[int] = field(default_factory=list)
    counted: int = 0


@contextlib.contextmanager
def counting() -> Iterator[Counter]:
    """Count the slab events of all CPUs that concern an object.  Raises Unavailable."""
    with tempfile.NamedTemporaryFile("r") as result:
        # failed allocations and frees of nothing carry no object
        events = [option for event in EVENTS for option in ("-e", event, "--filter", "ptr > 16")]
        command = ["perf", "stat", "-x", ",", "-a", "-o", result.name, *events, "--", "cat"]
        counter = Counter([time.monotonic_ns()])
        perf = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if perf.stdin is None or perf.stdout is None:
            raise Unavailable("perf stat cannot be spoken to")
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
    """One recording: what perf counted meanwhile, how many events of that are stored, what is lost."""

    twins: str
    counter: Counter
    core: int
    outer: int
    ns_per_operation: float
    complete: Completeness

    @property
    def agrees(self) -> bool:
        """Stored and lost are what there was, to within the idle edges."""
        return self.core <= self.counter.counted <= self.outer + self.complete.lost

    def cells(self) -> list[str]:
        """A row of the table."""
        seen = self.complete
        numbers = (
            seen.recursion_missed,
            seen.recovered,
            seen.lost,
            seen.missed_frees_inferred - seen.inferred_by_page_end - seen.found_free,
            seen.found_free,
            seen.second_frees,
        )
        counted = f"{self.counter.counted:,}{'' if self.agrees else ' (!)'}"
        stored = f"{self.core:,}..{self.outer:,}"
        cells = [self.twins, f"{seen.events / 1e6:.1f}", counted, stored, *(f"{n:,}" for n in numbers)]
        return [*cells, f"{self.ns_per_operation:,.0f}"]


def record(twins: str, seconds: float) -> Run:
    """Record the load on all CPUs.  Raises Unavailable."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-bench-") as name, contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Load(LOAD, cpu)) for cpu in sorted(os.sched_getaffinity(0))]
        folder = Path(name)
        with tracers.slabtrace(folder, options=("--twins", twins)), counting() as counter:
            _, ns = run_everywhere(loads, seconds)
            time.sleep(1)  # what RCU still frees belongs to the load
        trace = folder / "t.slab"
        core, outer = (stored_between(trace, *span) for span in (counter.core, counter.outer))
        return Run(twins, counter, core, outer, ns, slabtrace.open(trace).completeness())


def stored_between(trace: Path, begin_ns: int, end_ns: int) -> int:
    """How many allocations and frees of objects the trace holds of that time."""
    reader = TraceReader(trace)
    kind = reader.sites.column("kind").to_numpy()
    is_object = np.isin(kind, [Kind.KMALLOC, Kind.CACHE_ALLOC, Kind.KFREE, Kind.CACHE_FREE])
    count = 0
    for batch in reader.events():
        first, last = np.searchsorted(batch.ts_ns, [begin_ns, end_ns])
        count += int(np.count_nonzero(is_object[batch.site[first:last]]))
    return count


def main(quick: bool) -> None:
    """Each setting of --twins in turn, three times."""
    seconds, rounds = (2, 1) if quick else (10, 3)
    runs = []
    for number in range(rounds):
        for twins in TWINS:
            wait_until_quiet()
            note(f"trust: --twins {twins}, round {number + 1} of {rounds}")
            runs.append(record(twins, seconds))
    print(f"### Every event accounted for: load `{LOAD}` on all CPUs, {seconds} s each\n")
    print_table(HEAD, [run.cells() for run in sorted(runs, key=lambda run: TWINS.index(run.twins))])
    agree = sum(run.agrees for run in runs)
    print(
        f"Stored in the core <= counted by perf stat <= stored in the outer span + lost: {agree} of "
        f"{len(runs)}.\n"
    )
