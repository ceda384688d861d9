# SPDX-License-Identifier: Apache-2.0
"""All CPUs open and close pipes as fast as they can: events seen, lost and stored, and the cost.

The number of events is known without a tracer: the operations done, times the slab events of one
operation as `perf stat` counted them on an idle CPU.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tracers
from benchmarks.consumer import MemorySampler, cpu_seconds
from benchmarks.loads import Load, events_per_operation, run_everywhere
from benchmarks.machine import LONG_PATIENCE_S, Unavailable, busy_seconds, load_cpu, note, wait_until_quiet
from benchmarks.table import print_table

LOAD = "pipes"
HEAD = (
    "tracer",
    "M events/s",
    "captured",
    "of those made",
    "reported dropped",
    "consumer us/event",
    "bytes/event",
    "peak MiB",
)
_MIB = 1 << 20
_DRAIN_S = 1.5  # until all that was queued at the end of the load is stored and its cost counted
_PERF_SAMPLES = re.compile(r"\((\d+) samples\)")


@dataclass
class Stored:
    """What a tracer stored: events, events it reports as dropped (None: no report), bytes, remarks."""

    events: int
    dropped: int | None
    size: int
    remarks: list[str]


@dataclass
class Result:
    """One tracer under the load: CPU seconds of the consumer, and of all else except the load."""

    made: float
    seconds: float
    ns_per_operation: float
    cpu_s: float
    others_s: float
    memory: list[int]
    stored: Stored

    def cells(self) -> list[str]:
        """Table cells after the name."""
        stored, events = self.stored, max(1, self.stored.events)
        return [
            f"{self.made / self.seconds / 1e6:.2f}",
            f"{stored.events / 1e6:.1f} M",
            f"{stored.events / self.made:.1%}",
            "not reported" if stored.dropped is None else f"{stored.dropped:,}",
            f"{self.cpu_s / events * 1e6:.3f}",
            f"{stored.size / events:.2f}",
            f"{max(self.memory, default=0) / _MIB:.0f}",
        ]


def run_under(
    tracer: tracers.Tracer, seconds: float, per_operation: float, read: Callable[[Path], Stored]
) -> Result:
    """Load all CPUs for `seconds` under a tracer.  Raises Unavailable."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-bench-") as name, contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Load(LOAD, cpu)) for cpu in sorted(os.sched_getaffinity(0))]
        folder = Path(name)
        with tracer(folder) as running:
            pid = running.process.pid
            before, busy_before = cpu_seconds(pid), busy_seconds()
            with MemorySampler(pid) as memory:
                operations, ns = run_everywhere(loads, seconds)
                time.sleep(_DRAIN_S)
            cpu_s, busy_s = cpu_seconds(pid) - before, busy_seconds() - busy_before
        others_s = busy_s - cpu_s - operations * ns / 1e9
        made = operations * per_operation
        return Result(made, seconds, ns, cpu_s, others_s, memory.bytes, read(folder))


def read_slabtrace(folder: Path) -> Stored:
    """Read the trace in `folder`."""
    trace = folder / "t.slab"
    manifest = tracers.manifest(trace)
    totals = manifest["totals"]
    size = sum(file.stat().st_size for file in trace.rglob("*") if file.is_file())
    remarks = [
        f"recovered by twins {totals['recovered']:,}, stored out of order {totals['late']:,}",
        f"of the memory, the mapped rings are {manifest['options']['buffer_bytes'] / _MIB:.0f} MiB",
    ]
    if "max_fill" in totals:
        remarks.append(f"the fullest ring was {totals['max_fill']:.0%} full")
    seen = totals["events"] + 2 * totals["counted"]
    if totals["counted"]:
        remarks.append(f"{totals['events']:,} of the events are stored, the others only counted")
    return Stored(seen, totals["dropped"], size, remarks)


def read_perf(folder: Path) -> Stored:
    """Read the perf.data in `folder`; perf reports lost chunks and samples only as warnings."""
    log = (folder / "log").read_text(errors="replace")
    samples = _PERF_SAMPLES.search(log)
    warnings = [line.strip() for line in log.splitlines() if "lost" in line]
    size = (folder / "perf.data").stat().st_size
    return Stored(int(samples.group(1)) if samples else 0, None, size, warnings)


def measure(runs: list[tuple[str, tracers.Tracer, float, Callable[[Path], Stored]]]) -> None:
    """Run each (name, tracer, seconds, reader), one after another, and print the table."""
    wait_until_quiet(LONG_PATIENCE_S)
    _, per_operation = events_per_operation(LOAD, load_cpu())
    rows, remarks = [], []
    for name, tracer, seconds, read in runs:
        title = f"{name}, {seconds:.0f} s"
        note(f"throughput: {title}")
        quiet = wait_until_quiet(LONG_PATIENCE_S)
        try:
            result = run_under(tracer, seconds, per_operation, read)
        except Unavailable as reason:
            rows.append([title, f"not measured: {reason}", *[""] * (len(HEAD) - 2)])
            continue
        rows.append([title, *result.cells()])
        remarks += [f"- {title}: {remark}" for remark in _remarks(result)]
        if not quiet:
            remarks.append(f"- {title}: the machine was busy; captured events include those of others")
    print(f"### Load `{LOAD}` on all CPUs, {per_operation:.1f} events per operation, to disk\n")
    print_table(HEAD, rows)
    print("\n".join(remarks) + "\n")


def _remarks(result: Result) -> Iterator[str]:
    yield f"one operation took {result.ns_per_operation:,.0f} ns of CPU"
    yield f"the kernel's own threads and other processes took {result.others_s:.1f} s of CPU"
    yield from result.stored.remarks
    steps = result.memory[:: max(1, len(result.memory) // 15)]
    yield "resident MiB over time: " + " ".join(f"{step / _MIB:.0f}" for step in steps)


def some_stacks(folder: Path) -> AbstractContextManager[tracers.Running]:
    """Record with the default stacks."""
    return tracers.slabtrace(folder, "auto")


def survivors(folder: Path) -> AbstractContextManager[tracers.Running]:
    """Record in survivors mode with the default stacks."""
    return tracers.slabtrace(folder, "auto", options=["--mode", "survivors"])


def main(quick: bool) -> None:
    """Record 30 s; 60 s to see that memory stays constant; perf 10 s, as its files are 50 times as large."""
    long, longer, peer = (5, 8, 3) if quick else (30, 60, 10)
    measure(
        [
            ("slabtrace record --stacks none", tracers.slabtrace, long, read_slabtrace),
            ("slabtrace record --stacks none", tracers.slabtrace, longer, read_slabtrace),
            ("slabtrace record --stacks auto", some_stacks, long, read_slabtrace),
            ("slabtrace record --mode survivors", survivors, long, read_slabtrace),
            ("perf record, four kmem events", tracers.perf_record, peer, read_perf),
            ("perf kmem record", tracers.perf_kmem, peer, read_perf),
        ]
    )
