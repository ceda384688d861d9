# SPDX-License-Identifier: Apache-2.0
"""The loss ledger: how many events were lost, of what kind, on which CPU (if known), in which interval.

The programs and the kernel count every loss where it happens.  Here the counters are read about once a
second, and their growth becomes rows of losses.arrow.  A program and its twin have rows of their own:
the analysis needs both to bound what was lost (docs/twins.md).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.stream.rings import Rings
from slabtrace.trace.format.schema import LOSSES, Loss

_LOST = {  # {counter: what it counts}
    "dropped": Loss.RING_FULL,
    "too_deep": Loss.NESTING,
    "bulk_rest": Loss.BULK_REST,
    "without_ring": Loss.WITHOUT_RING,
}
_PER_CPU = {**_LOST, "stack_lost": Loss.STACK}


class LossRow(NamedTuple):
    """A row of losses.arrow."""

    begin_ns: int
    end_ns: int
    cpu: int
    kind: int
    program: str
    events: int


class Ledger:
    """Turns growing counters into rows."""

    def __init__(self, rings: Rings, programs: Programs) -> None:
        self._rings = rings
        self._programs = programs
        self._begin = 0
        self._counters = rings.counters()
        self._before = self._counters
        self._misses: dict[str, int] = {}
        self._misses_before: dict[str, int] = {}
        self._late = 0

    def start(self, now_ns: int) -> None:
        """Count losses from here on."""
        self._begin = now_ns
        self._counters = self._before = self._rings.counters()
        self._misses = self._misses_before = self._programs.recursion_misses()

    def sample(self, now_ns: int, late: int) -> dict[str, list[Any]]:
        """Columns of losses.arrow for the losses since the last sample; empty lists if there are none.

        `late`: events stored out of order so far.
        """
        rows = [*self._ring_losses(now_ns), *self._recursion_losses(now_ns), *self._late_events(now_ns, late)]
        self._begin = now_ns
        return _columns(rows)

    def late(self, now_ns: int, late: int) -> dict[str, list[Any]]:
        """As `sample`, for events stored late only: once nothing is attached any more."""
        return _columns(self._late_events(now_ns, late))

    def _late_events(self, now_ns: int, late: int) -> list[LossRow]:
        grown, self._late = late - self._late, late
        return [LossRow(self._begin, now_ns, -1, Loss.LATE, "", grown)] if grown else []

    def _ring_losses(self, now_ns: int) -> list[LossRow]:
        counters = self._rings.counters()
        rows = []
        for name, kind in _PER_CPU.items():
            grown = counters[name] - self._counters[name]
            for cpu in np.flatnonzero(grown).tolist():
                of = -1 if kind == Loss.WITHOUT_RING else cpu  # all such CPUs have one counter
                rows.append(LossRow(self._begin, now_ns, of, kind, "", int(grown[cpu])))
        self._counters = counters
        return rows

    def _recursion_losses(self, now_ns: int) -> list[LossRow]:
        rows = []
        now = self._programs.recursion_misses()
        for program, misses in now.items():
            grown = misses - self._misses.get(program, 0)
            if grown:
                rows.append(LossRow(self._begin, now_ns, -1, Loss.RECURSION, program, grown))
        self._misses = now
        return rows

    def totals(self) -> dict[str, int]:
        """All counters since the start, summed over CPUs.  `recursion_missed` is without twins."""
        sums = {name: int((values - self._before[name]).sum()) for name, values in self._counters.items()}
        missed = sum(
            count - self._misses_before.get(program, 0)
            for program, count in self._misses.items()
            if not program.endswith("_twin")
        )
        return {
            "dropped": sum(sums[name] for name in _LOST),
            "failed_allocs": sums["failed_allocs"],
            "null_frees": sums["null_frees"],
            "recursion_missed": missed,
            "recovered": sums["recovered"],
            "stacks_lost": sums["stack_lost"],
        }


def _columns(rows: list[LossRow]) -> dict[str, list[Any]]:
    return {name: [row[i] for row in rows] for i, name in enumerate(LOSSES.names)}
