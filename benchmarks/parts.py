# SPDX-License-Identifier: Apache-2.0
"""The cost of each part of the recorder's programs, from an empty program to the complete one."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from statistics import median

from benchmarks.loads import Load, events_per_operation
from benchmarks.machine import load_cpu, note, wait_until_quiet
from benchmarks.pace import Pace, Slices
from benchmarks.probes import Probes
from benchmarks.table import print_table, spread
from slabtrace.capture.options import CaptureOptions

SAMPLE_S = 0.05
FLOOR = "empty programs (the floor)"
TWO_EMPTY = "for comparison: empty programs, two per tracepoint"


class Objects:
    """The compiled programs with all the options that are compared."""

    def __init__(self) -> None:
        self._plain = Probes(CaptureOptions(stacks="none"))
        self._frees = Probes(CaptureOptions(stacks="none", twins="frees"))
        self._some_stacks = Probes(CaptureOptions(stacks="auto"))
        self._stacks = Probes(CaptureOptions(stacks="all"))
        self._survivors = Probes(CaptureOptions(stacks="none", mode="survivors"))
        self._survivors_auto = Probes(CaptureOptions(stacks="auto", mode="survivors"))
        self._sample = Probes(CaptureOptions(stacks="none", sample=16))

    def steps(self) -> Iterator[tuple[str, AbstractContextManager[None]]]:
        """Yield (label, what to attach); each adds to the one before it, except those for comparison."""
        yield FLOOR, self._plain.part("empty")
        yield "+ lane", self._plain.part("lane")
        yield "+ slot claimed and committed", self._plain.part("slot")
        yield "+ clock", self._plain.part("clock")
        yield "+ task and other fields", self._plain.part("fields")
        yield "+ cache of a kmalloc object", self._plain.part("cache")
        yield "+ twins of the frees (--twins frees)", self._frees.whole()
        yield "+ twins of the allocations: --stacks none", self._plain.whole()
        yield "+ sampled stacks: --stacks auto", self._some_stacks.whole()
        yield "+ all stacks: --stacks all", self._stacks.whole()
        yield "for comparison: --mode survivors, no stacks", self._survivors.whole()
        yield "for comparison: --mode survivors --stacks auto", self._survivors_auto.whole()
        yield "for comparison: --sample 1/16, no stacks", self._sample.whole()
        yield TWO_EMPTY, self._plain.part("empty", "second")

    def close(self) -> int:
        """Remove all programs and maps from the kernel; returns how many events found no free slot."""
        everything = (self._plain, self._frees, self._some_stacks, self._stacks)
        everything += (self._survivors, self._survivors_auto, self._sample)
        lost = sum(probes.dropped() for probes in everything)
        for probes in everything:
            probes.close()
        return lost


class PartByPart:
    """The samples of all parts on one load."""

    def __init__(self, load: str) -> None:
        self.load = load
        self.fired, self.objects = events_per_operation(load, load_cpu())
        self.pace = Pace()
        self.traced: dict[str, list[Slices]] = defaultdict(list)
        self.noisy = self.without_slot = 0

    def run(self, rounds: int) -> None:
        """Sample every part once in each of `rounds` rounds."""
        objects = Objects()
        try:
            with Load(self.load, load_cpu()) as load:
                load.slices(1)
                for number in range(rounds):
                    self.noisy += not wait_until_quiet()
                    note(f"parts, {self.load}: round {number + 1} of {rounds}")
                    self._round(load, objects)
        finally:
            self.without_slot = objects.close()

    def _round(self, load: Load, objects: Objects) -> None:
        for part, attached in objects.steps():
            self.pace.alone(load.slices(SAMPLE_S))
            with attached:
                self.traced[part].append(load.slices(SAMPLE_S))

    def print(self) -> None:
        """Print the table, and what it was measured on."""
        print(f"### Parts of the program, load `{self.load}` on one CPU\n")
        print(
            f"{self.fired:.1f} events per operation, {self.objects:.1f} with an object; the load alone "
            f"takes {self.pace.ns_per_operation:,.0f} ns of CPU per operation.\n"
        )
        added = {
            name: [self.pace.added(s) / self.fired for s in found] for name, found in self.traced.items()
        }
        print_table(["part", "added ns per event", "by this part", "times the floor"], _rows(added))
        rounds = len(added[FLOOR])
        print(f"{rounds} rounds, {self.noisy} of them started while the machine was busy;")
        print(f"{self.without_slot:,} events found no free slot.\n")


def _rows(added: dict[str, list[float]]) -> Iterator[list[str]]:
    previous = 0.0
    for part, values in added.items():
        step, previous = median(values) - previous, median(values)
        ratios = [value / floor for value, floor in zip(values, added[FLOOR], strict=True)]
        yield [part, spread(values), "" if part == TWO_EMPTY else f"{step:+,.0f}", spread(ratios, 2)]


def main(quick: bool) -> None:
    """Print one table for `messages` (one of three events is a kfree(NULL)) and one for `pipes`."""
    for load in ("messages", "pipes"):
        parts = PartByPart(load)
        with contextlib.suppress(KeyboardInterrupt):
            parts.run(10 if quick else 60)
        parts.print()
