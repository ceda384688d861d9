# SPDX-License-Identifier: Apache-2.0
"""What twins cost a whole load, and how many of its events they recover: hackbench, with and without them."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean, median

import slabtrace
from benchmarks import tracers
from benchmarks.machine import note, wait_until_quiet
from benchmarks.table import print_table
from benchmarks.whole import DAYS, HACKBENCH, LOADS, measured
from slabtrace.analysis.trust.completeness import Completeness

ROUNDS = 3
SETTINGS = ("all", "frees", "none")
RECORDINGS: dict[str, tuple[str, ...]] = {
    "record": (),
    "record --sample 1/64": ("--sample", "1/64"),
    "record --mode survivors --sample 1/16": DAYS,
}
HEAD = (
    "recording",
    "twins",
    "slowdown by wall time",
    "M events",
    "programs skipped",
    "recovered",
    "lost",
    "frees inferred",
)
Row = tuple[str, str]


def main(quick: bool) -> None:
    """Print medians over all rounds; quick: of one."""
    slowdown: dict[Row, list[float]] = defaultdict(list)
    counted: dict[Row, list[Completeness]] = defaultdict(list)
    for _ in range(1 if quick else ROUNDS):
        before = _alone()
        for row, options in _rows().items():
            note(f"twins: {row[0]} --twins {row[1]}")
            taken, completeness = _recorded(options)
            after = _alone()
            slowdown[row].append(taken / mean((before, after)))
            counted[row].append(completeness)
            before = after
    print(f"### Twins on {HACKBENCH}: medians\n")
    print_table(HEAD, [[*row, *_cells(slowdown[row], counted[row])] for row in slowdown])


def _rows() -> dict[Row, tuple[str, ...]]:
    every = ((name, twins) for name in RECORDINGS for twins in SETTINGS)
    return {(name, twins): (*RECORDINGS[name], "--twins", twins) for name, twins in every}


def _alone() -> float:
    wait_until_quiet()
    return measured(LOADS[HACKBENCH]).wall_s


def _recorded(options: tuple[str, ...]) -> tuple[float, Completeness]:
    with tempfile.TemporaryDirectory(prefix="slabtrace-twins-", dir="/var/tmp") as folder:
        with tracers.slabtrace(Path(folder), "auto", options=options):
            taken = measured(LOADS[HACKBENCH]).wall_s
        return taken, slabtrace.open(Path(folder) / "t.slab").completeness()


def _cells(slowdown: list[float], counted: list[Completeness]) -> list[str]:
    """Of a sample, skipped programs are of all addresses; what else is counted is of the sample."""
    names = ("recursion_missed", "recovered", "lost", "missed_frees_inferred")
    numbers = [f"{median(getattr(each, name) for each in counted):,.0f}" for name in names]
    events = median(each.events + 2 * each.counted for each in counted) / 1e6
    return [f"{median(slowdown):.2f}x ({min(slowdown):.2f}..{max(slowdown):.2f})", f"{events:.2f}", *numbers]
