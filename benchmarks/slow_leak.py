# SPDX-License-Identifier: Apache-2.0
"""One leaked object a second among 500,000 events a second: is it found, and nothing else?

Each run records two minutes of loads/churn.c.  It leaves one System V message a second in a queue, or
none, while the same call site sends and receives thousands.  `leaks` must report load_msg as its
only suspect, at rank 1, and must report no suspect where nothing leaked.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.loads import built
from benchmarks.table import print_table
from benchmarks.tracers import slabtrace

SECONDS, RUNS = 120, 10
ROUNDS = 4_300  # of churn per second and CPU: 265,000 events a second on an otherwise idle CPU
WARM_UP_S, SPARE_S = 2, 60
CULPRIT = "load_msg+"


class Outcome(NamedTuple):
    """One run: events a second, messages left in the queue a second, suspects found."""

    events_per_s: float
    left: int
    suspects: list[dict[str, Any]]

    @property
    def right(self) -> bool:
        """Whether the leak is the only suspect, at rank 1; without a leak, whether there is no suspect."""
        if not self.left:
            return not self.suspects
        return len(self.suspects) == 1 and self._is_culprit(self.suspects[0])

    def _is_culprit(self, group: dict[str, Any]) -> bool:
        return group["rank"] == 1 and group["symbol"].startswith(CULPRIT)


def main(quick: bool) -> None:
    """Print a row for each run, and how many runs were right."""
    print("### A slow leak in churn\n")
    seconds, runs = (20, 1) if quick else (SECONDS, RUNS)
    rows = []
    for leaks in (1, 0):
        for number in range(runs):
            machine.note(f"slow leak: {leaks} a second, run {number + 1} of {runs}")
            with tempfile.TemporaryDirectory(prefix="slabtrace-slow-leak-") as folder:
                rows.append((leaks, number, one_run(Path(folder), seconds, leaks)))
    print_table(
        ("leaks/s", "run", "events/s", "suspects", "rank 1", "right"),
        [
            (str(leaks), str(n + 1), f"{o.events_per_s:,.0f}", str(len(o.suspects)), top(o), str(o.right))
            for leaks, n, o in rows
        ],
    )
    print(f"right: {sum(o.right for *_, o in rows)} of {len(rows)}\n")


def top(outcome: Outcome) -> str:
    """The first suspect: its symbol, cache and score."""
    if not outcome.suspects:
        return "none"
    first = outcome.suspects[0]
    return f"{first['symbol']} in {first['cache']}, score {first['score']}"


def one_run(folder: Path, seconds: int, leaks: int) -> Outcome:
    """Record `seconds` of churn into `folder`/t.slab and look for suspects."""
    with churning(seconds + SPARE_S, leaks):
        time.sleep(WARM_UP_S)
        with slabtrace(folder, "all"):
            time.sleep(seconds)
    return outcome(folder / "t.slab", leaks)


def outcome(trace: Path, leaks: int) -> Outcome:
    """What `slabtrace leaks` and `info` report about a recording."""
    groups = _json("leaks", trace)["groups"]
    manifest = _json("info", trace)["manifest"]
    length_s = (manifest["ended_ns"] - manifest["started_ns"]) / 1e9
    suspects = [group for group in groups if group["class"] == "suspect"]
    return Outcome(manifest["totals"]["events"] / length_s, leaks, suspects)


@contextmanager
def churning(seconds: int, leaks: int) -> Iterator[None]:
    """Run the load; it releases everything at the end of the block."""
    command = [str(built("churn")), str(seconds), str(ROUNDS), str(leaks)]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        load.communicate()


def _json(command: str, trace: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "slabtrace", command, str(trace), "--json"],
        check=True,
        stdout=subprocess.PIPE,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document
