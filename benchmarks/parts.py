# SPDX-License-Identifier: Apache-2.0
"""What each part of the recorder's programs costs: from an empty program to the whole, step by step."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from statistics import median

from benchmarks.loads import Load, events_per_operation
from benchmarks.machine import load_cpu, note, wait_until_quiet
from benchmarks.pace import Pace, Slices
from benchmarks.probes import PARTS, Probes
from benchmarks.table import print_table, spread

SAMPLE_S = 0.05
_LABELS = {
    "empty": "empty programs (the floor)",
    "lane": "+ lane",
    "slot": "+ slot claimed and committed",
    "clock": "+ clock",
    "fields": "+ task and other fields",
    "cache": "+ cache of a kmalloc object",
    "twin": "+ twins: the whole program",
    "stack": "+ stacks (--stacks all)",
}


class PartByPart:
    """The parts on one load, sampled in turn."""

    def __init__(self, load: str) -> None:
        self.load = load
        self.fired, self.objects = events_per_operation(load, load_cpu())
        self.pace = Pace()
        self.traced: dict[str, list[Slices]] = defaultdict(list)
        self.noisy = self.without_slot = 0

    def run(self, rounds: int) -> None:
        """Sample every part, `rounds` times."""
        plain, stacked = Probes(), Probes(stacks=True)
        try:
            with Load(self.load, load_cpu()) as load:
                load.slices(1)
                for number in range(rounds):
                    self.noisy += not wait_until_quiet()
                    note(f"parts, {self.load}: round {number + 1} of {rounds}")
                    self._round(load, plain, stacked)
        finally:
            self.without_slot = plain.dropped() + stacked.dropped()
            plain.close()
            stacked.close()

    def _round(self, load: Load, plain: Probes, stacked: Probes) -> None:
        for part, attached in _steps(plain, stacked):
            self.pace.alone(load.slices(SAMPLE_S))
            with attached:
                self.traced[part].append(load.slices(SAMPLE_S))

    def print(self) -> None:
        """The table, and what it was measured on."""
        print(f"### Parts of the program, load `{self.load}` on one CPU\n")
        print(
            f"{self.fired:.1f} events per operation, {self.objects:.1f} with an object; the load alone "
            f"takes {self.pace.ns_per_operation:,.0f} ns of CPU per operation.\n"
        )
        added = {
            name: [self.pace.added(s) / self.fired for s in found] for name, found in self.traced.items()
        }
        print_table(["part", "added ns per event", "by this part", "times the floor"], _rows(added))
        rounds = len(added["empty"])
        print(f"{rounds} rounds, {self.noisy} of them begun while the machine was busy;")
        print(f"{self.without_slot:,} events found no free slot.\n")


def _steps(plain: Probes, stacked: Probes) -> Iterator[tuple[str, AbstractContextManager[None]]]:
    for part in PARTS:
        yield part, plain.attached(part)
    yield "twin", plain.attached("whole", twins=True)
    yield "stack", stacked.attached("whole", twins=True)


def _rows(added: dict[str, list[float]]) -> Iterator[list[str]]:
    previous = 0.0
    for part, values in added.items():
        step, previous = median(values) - previous, median(values)
        ratios = [value / floor for value, floor in zip(values, added["empty"], strict=True)]
        yield [_LABELS[part], spread(values), f"{step:+,.0f}", spread(ratios, 2)]


def main(quick: bool) -> None:
    """Of messages' three events one is a kfree(NULL); every event of pipes has an object."""
    for load in ("messages", "pipes"):
        parts = PartByPart(load)
        with contextlib.suppress(KeyboardInterrupt):
            parts.run(10 if quick else 60)
        parts.print()
