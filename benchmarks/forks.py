# SPDX-License-Identifier: Apache-2.0
"""Two thousand processes a second for a minute: what the recorder's memory does, and what is known of them.

Each process takes a number of its own, so nothing about processes or tasks is asked for twice.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc

import slabtrace
from benchmarks import tracers
from benchmarks.consumer import MemorySampler
from benchmarks.loads import Load, run_everywhere
from benchmarks.machine import note
from benchmarks.table import print_table
from slabtrace.trace.format.schema import ProcessEvent
from slabtrace.trace.reading.reader import TraceReader

LOADS = 2  # each makes at most a thousand processes a second
HEAD = (
    "mode",
    "processes made",
    "a second",
    "begin recorded",
    "end recorded",
    "MiB at 1/3, 2/3, the end",
    "tables on disk",
    "dropped",
)
MODES = {"events": (), "survivors": ("--mode", "survivors")}
_MIB = 1 << 20


def main(quick: bool) -> None:
    """Print one row for each mode."""
    seconds = 5.0 if quick else 60.0
    rows = []
    for mode, options in MODES.items():
        note(f"forks: {mode}, {seconds:.0f} s")
        with tempfile.TemporaryDirectory(prefix="slabtrace-forks-") as name:
            rows.append([mode, *_measured(Path(name), options, seconds)])
    print_table(HEAD, rows)


def _measured(folder: Path, options: tuple[str, ...], seconds: float) -> Iterator[str]:
    """The cells after the mode."""
    cpus = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Load("forks", cpus[n % len(cpus)])) for n in range(LOADS)]
        recorder = stack.enter_context(tracers.slabtrace(folder, "auto", options=options))
        with MemorySampler(recorder.process.pid) as memory:
            made, _ = run_everywhere(loads, seconds)
    trace = slabtrace.open(folder / "t.slab")
    events = TraceReader(folder / "t.slab").table("processes").column("event")
    begun, ended = (pc.sum(pc.equal(events, each)).as_py() for each in (ProcessEvent.FORK, ProcessEvent.EXIT))
    tables = sum((folder / "t.slab" / f"{each}.arrow").stat().st_size for each in ("processes", "tasks"))
    at = [memory.bytes[int((len(memory.bytes) - 1) * part / 3)] / _MIB for part in (1, 2, 3)]
    yield f"{made:,}"
    yield f"{made / seconds:,.0f}"
    yield f"{begun:,}"
    yield f"{ended:,}"
    yield ", ".join(f"{each:.0f}" for each in at)
    yield f"{tables / _MIB:.1f} MiB"
    yield f"{trace.completeness().dropped:,}"
