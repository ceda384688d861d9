# SPDX-License-Identifier: Apache-2.0
"""Added time per slab event: slabtrace and other tracers, one after another, on one load on one CPU.

Before each sample of a tracer the load runs alone; pace.py says how the two are compared.  Ratios
are taken within a round, and the table shows their median.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.loads import Load, events_per_operation
from benchmarks.machine import Unavailable, load_cpu, note, tracer_cpu, wait_until_quiet
from benchmarks.pace import Pace, Slices
from benchmarks.probes import Probes
from benchmarks.table import print_table, spread
from benchmarks.tracers import ON_ONE_CPU
from slabtrace.capture.options import CaptureOptions

SAMPLE_S = 0.5
LOADS = ("messages", "pipes", "files", "sockets")
FLOOR = "empty raw tracepoint programs (the floor)"
PERF = "perf record, four kmem events"


class Comparison:
    """All samples of one load, and for each tracer without samples the reason."""

    def __init__(self, load: str) -> None:
        self.load = load
        self.fired, self.objects = events_per_operation(load, load_cpu())
        self.pace = Pace()
        self.traced: dict[str, list[Slices]] = defaultdict(list)
        self.unavailable: dict[str, str] = {}
        self.noisy = 0

    def run(self, rounds: int) -> None:
        """Sample every tracer once in each of `rounds` rounds."""
        probes = Probes(CaptureOptions(stacks="none"))
        try:
            with Load(self.load, load_cpu()) as load:
                load.slices(1)
                for number in range(rounds):
                    self.noisy += not wait_until_quiet()
                    note(f"overhead, {self.load}: round {number + 1} of {rounds}")
                    self._round(load, probes)
        finally:
            probes.close()

    def _round(self, load: Load, probes: Probes) -> None:
        for name in [FLOOR, *ON_ONE_CPU]:
            if name in self.unavailable:
                continue
            self.pace.alone(load.slices(SAMPLE_S))
            try:
                with _tracing(name, probes):
                    self.traced[name].append(load.slices(SAMPLE_S))
            except Unavailable as reason:
                self.unavailable[name] = str(reason)

    def print(self) -> None:
        """Print the table, and what it was measured on."""
        where = "another CPU" if tracer_cpu() != load_cpu() else "the same CPU (there is only one)"
        print(f"### Added time per event, load `{self.load}` on one CPU\n")
        print(
            f"{self.fired:.1f} events per operation, {self.objects:.1f} with an object; the load alone "
            f"takes {self.pace.ns_per_operation:,.0f} ns of CPU per operation. Consumers run on {where}. "
            f"Median (min..max) over {len(self.traced[FLOOR])} rounds, {self.noisy} of them started while "
            "the machine was busy.\n"
        )
        self._added = {
            name: [self.pace.added(s) / self.fired for s in found] for name, found in self.traced.items()
        }
        head = ["tracer", "added ns per event", "times the floor", "of perf record's"]
        print_table(head, [self._row(name) for name in [FLOOR, *ON_ONE_CPU]])

    def _row(self, name: str) -> list[str]:
        if name in self.unavailable:
            return [name, f"not measured: {self.unavailable[name]}", "", ""]
        added = self._added[name]
        return [name, spread(added), spread(self._ratios(name, FLOOR), 1), self._part_of_perf(name)]

    def _ratios(self, name: str, base: str) -> list[float]:
        return [a / b for a, b in zip(self._added[name], self._added[base], strict=True)]

    def _part_of_perf(self, name: str) -> str:
        """Its cost as 1/N of the cost of `perf record`, or as N times that."""
        if PERF in self.unavailable:
            return ""
        ratio = median(self._ratios(PERF, name))
        return f"1/{ratio:,.1f}" if ratio >= 1 else f"{1 / ratio:,.1f} x"


@contextmanager
def _tracing(name: str, probes: Probes) -> Iterator[None]:
    """Trace with the named tracer, and delete what it wrote."""
    if name == FLOOR:
        with probes.part("empty"):
            yield
        return
    with tempfile.TemporaryDirectory(prefix="slabtrace-bench-") as folder, ON_ONE_CPU[name](Path(folder)):
        yield


def main(quick: bool) -> None:
    """Print one table for each load."""
    for load in LOADS:
        comparison = Comparison(load)
        with contextlib.suppress(KeyboardInterrupt):
            comparison.run(1 if quick else 3)
        comparison.print()
