# SPDX-License-Identifier: Apache-2.0
"""All CPUs at full load for ten minutes, in each mode: events, losses, memory over time, a known answer.

The known answer: this process opens PIPES pipes during the load and keeps them open, so each call site of
a pipe has exactly PIPES outstanding objects in it.  A second run leaves millions of live objects (names.c).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slabtrace
from benchmarks import tracers
from benchmarks.consumer import MemorySampler, cpu_seconds
from benchmarks.loads import Load, built, run_everywhere
from benchmarks.machine import LONG_PATIENCE_S, note, wait_until_quiet
from benchmarks.table import print_table
from slabtrace.api import Trace

LOAD, PIPES, OBJECTS = "pipes", 41, 5_000_000
MODES: dict[str, Sequence[str]] = {
    "survivors": ("--mode", "survivors"),
    "events": (),
}
HEAD = (
    "mode",
    "minutes",
    "M events/s",
    "seen",
    "dropped",
    "skipped",
    "% of a CPU",
    "us/event",
    "MiB",
    "on disk",
)
_MIB = 1 << 20
_STEPS = 20  # values of the memory over time that are shown


@dataclass
class Soaked:
    """One recording: its trace, its length, and CPU time, memory (bytes) and disk space that it took."""

    trace: Trace
    seconds: float
    cpu_s: float
    memory: list[int]
    size: int

    @property
    def events(self) -> int:
        """Events seen, including those that were only counted."""
        totals = self.trace.manifest.totals
        return totals.events + 2 * totals.counted

    def cells(self) -> list[str]:
        """Table cells after the mode."""
        completeness = self.trace.completeness()
        return [
            f"{self.seconds / 60:.1f}",
            f"{self.events / self.seconds / 1e6:.2f}",
            f"{self.events / 1e6:,.0f} M",
            f"{completeness.dropped:,}",
            f"{completeness.skipped:,}",
            f"{100 * self.cpu_s / self.seconds:.1f}",
            f"{self.cpu_s / max(self.events, 1) * 1e6:.4f}",
            f"{max(self.memory, default=0) / _MIB:.0f}",
            f"{self.size / _MIB:,.1f} MiB",
        ]

    def remarks(self) -> Iterator[str]:
        """Memory over time, the known answer, and the differences to slabinfo."""
        steps = self.memory[:: max(1, len(self.memory) // _STEPS)]
        yield "resident MiB over time: " + " ".join(f"{step / _MIB:.0f}" for step in steps)
        kept = self.trace.leaks(by="call_site", pid=[os.getpid()])
        pipes = kept[kept["symbol"].str.startswith("alloc_pipe_info+")]["outstanding"].tolist()
        yield f"of {PIPES} open pipes, outstanding at each call site: {', '.join(map(str, pipes))}"
        groups = self.trace.leaks(by="stack")
        with_stack = int(groups["outstanding"].where(groups["stacks"] > 0, 0).sum())
        everything = int(groups["outstanding"].sum())
        share = f"{with_stack:,} ({with_stack / max(everything, 1):.2%})"
        yield f"of {everything:,} outstanding objects, {share} are in a group with a recorded stack"
        account = self.trace.reconciliation()
        match = int((account["residue"].abs() <= account["slack"]).sum())
        yield f"{match} of {len(account)} caches match slabinfo within what parked objects can explain"


def soak(options: Sequence[str], seconds: float) -> Iterator[Soaked]:
    """Record the load on every CPU for `seconds`; the trace is deleted when the generator is resumed."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-soak-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        loads = [stack.enter_context(Load(LOAD, cpu)) for cpu in sorted(os.sched_getaffinity(0))]
        with tracers.slabtrace(folder, "auto", options=options) as running, _open_pipes():
            before, begun = cpu_seconds(running.process.pid), time.monotonic()
            with MemorySampler(running.process.pid) as memory:
                run_everywhere(loads, seconds)
            took, cpu_s = time.monotonic() - begun, cpu_seconds(running.process.pid) - before
            _end(running)
        yield _soaked(folder, took, cpu_s, memory.bytes)


def _end(running: Any) -> None:
    """Stop the recorder, while the pipes are still open."""
    running.process.send_signal(2)
    running.process.wait()


def _soaked(folder: Path, seconds: float, cpu_s: float, memory: list[int]) -> Soaked:
    trace = folder / "t.slab"
    size = sum(file.stat().st_size for file in trace.rglob("*") if file.is_file())
    return Soaked(slabtrace.open(trace), seconds, cpu_s, memory, size)


@contextmanager
def _open_pipes() -> Iterator[None]:
    ends = [end for _ in range(PIPES) for end in os.pipe()]
    try:
        yield
    finally:
        for end in ends:
            os.close(end)


def live_set(objects: int, options: Sequence[str]) -> str:
    """Leave `objects` negative dentries live; one line about how many of them the trace reports."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-soak-") as name:
        folder = Path(name)
        with tracers.slabtrace(folder, "auto", options=[*MODES["survivors"], *options]) as running:
            with MemorySampler(running.process.pid) as memory:
                made = subprocess.run(
                    [built("names"), str(objects)], capture_output=True, text=True, check=True
                )
            _end(running)
        soaked = _soaked(folder, 1.0, 0.0, memory.bytes)
        kept = soaked.trace.leaks(by="call_site", pid=[int(made.stdout)])
        held = kept[kept["cache"] == "dentry"]["outstanding"].max()
        table = soaked.trace.manifest.options["live_table_bytes"] / _MIB
        resident = max(memory.bytes, default=0) / _MIB
        return (
            f"- {objects:,} names that do not exist were looked up ({' '.join(options) or 'default table'}, "
            f"{table:,.0f} MiB): {int(held):,} dentries outstanding, "
            f"{soaked.trace.completeness().dropped:,} dropped, {resident:,.0f} MiB resident"
        )


def main(quick: bool) -> None:
    """Run ten minutes of each mode, then five million live objects with two sizes of the table."""
    rows, remarks = [], []
    for mode, options in MODES.items():
        wait_until_quiet(LONG_PATIENCE_S)
        note(f"soak: {mode}")
        for soaked in soak(options, 15 if quick else 600):
            rows.append([mode, *soaked.cells()])
            remarks += [f"- {mode}: {remark}" for remark in soaked.remarks()]
    print(f"### Load `{LOAD}` on all CPUs, `--stacks auto`\n")
    print_table(HEAD, rows)
    print("\n".join(remarks) + "\n")
    objects = OBJECTS // 50 if quick else OBJECTS
    for options in (("--live-objects", str(objects)), ()):
        note(f"soak: {objects:,} live objects")
        print(live_set(objects, options))
    print()
