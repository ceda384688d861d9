# SPDX-License-Identifier: Apache-2.0
"""What `record --pages`, `--percpu` and `--vmalloc` cost, beside `perf kmem --page record`.

The load allocates pages and nothing of slabs, so all that is added is due to the page events.  As in
overhead.py the load runs alone before each sample, and tracers take turns within a round.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import slabtrace
from benchmarks import tracers
from benchmarks.loads import Load
from benchmarks.machine import Unavailable, load_cpu, note, tracer_cpu, wait_until_quiet
from benchmarks.pace import Pace, Slices
from benchmarks.table import print_table, spread

LOAD, SAMPLE_S = "pages", 1.0
PAGES_EACH = 14  # allocated and freed by an operation: 16, less the two that a pipe keeps
PLAIN = "slabtrace record"
PERF = "perf kmem --page record"
HEAD = ("tracer", "added ns per page", "of perf's", "events", "lost")


def _slabtrace(stacks: str, *options: str) -> Callable[[Path], AbstractContextManager[Any]]:
    return lambda folder: tracers.slabtrace(folder, stacks, tracer_cpu(), options)


def _perf(folder: Path) -> AbstractContextManager[Any]:
    command = ["perf", "kmem", "--page", "record", "-m", "32M", "-o", str(folder / "perf.data")]
    return tracers.running(command, folder, _written, cpu=tracer_cpu())


def _written(tracer: tracers.Running) -> bool:
    data = tracer.folder / "perf.data"
    return data.exists() and data.stat().st_size > 4096


TRACERS: dict[str, Callable[[Path], AbstractContextManager[Any]]] = {
    PLAIN: _slabtrace("none"),
    "slabtrace record --percpu": _slabtrace("none", "--percpu"),
    "slabtrace record --vmalloc": _slabtrace("none", "--vmalloc"),
    "slabtrace record --pages --stacks none": _slabtrace("none", "--pages"),
    "slabtrace record --pages --stacks auto": _slabtrace("auto", "--pages"),
    PERF: _perf,
}


class Sampled:
    """The slices of each tracer, its events and losses, and why a tracer has none."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.slices: dict[str, list[Slices]] = defaultdict(list)
        self.found: dict[str, tuple[int, int]] = {}
        self.unavailable: dict[str, str] = {}

    def round(self, load: Load) -> None:
        """Sample each tracer once."""
        for name in TRACERS:
            if name in self.unavailable:
                continue
            self.pace.alone(load.slices(SAMPLE_S))
            try:
                with self._tracing(name):
                    self.slices[name].append(load.slices(SAMPLE_S))
            except Unavailable as reason:
                self.unavailable[name] = str(reason)

    @contextmanager
    def _tracing(self, name: str) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="slabtrace-bench-") as place:
            folder = Path(place)
            with TRACERS[name](folder):
                yield
            if (trace := folder / "t.slab").exists():
                seen = slabtrace.open(trace).completeness()
                before = self.found.get(name, (0, 0))
                self.found[name] = before[0] + seen.events, before[1] + seen.lost

    def rows(self) -> Iterator[list[str]]:
        """The rows of the table."""
        added = {
            name: [self.pace.added(each) / PAGES_EACH for each in found]
            for name, found in self.slices.items()
        }
        for name in TRACERS:
            if name in self.unavailable:
                yield [name, f"not measured: {self.unavailable[name]}", "", "", ""]
                continue
            beside = [a / b for a, b in zip(added[name], added.get(PERF, []), strict=False) if b > 0]
            events, lost = self.found.get(name, (0, 0))
            counts = [f"{events:,}", f"{lost:,}"] if events else ["", ""]
            yield [name, spread(added[name]), spread(beside, 2) if beside else "", *counts]


def main(quick: bool) -> None:
    """Print the table."""
    rounds, sampled = (2 if quick else 7), Sampled()
    with Load(LOAD, load_cpu()) as load, contextlib.suppress(KeyboardInterrupt):
        load.slices(1)
        for number in range(rounds):
            wait_until_quiet()
            note(f"pages: round {number + 1} of {rounds}")
            sampled.round(load)
    alone = sampled.pace.ns_per_operation / PAGES_EACH
    print(f"### Added time per page, allocated and freed: load `{LOAD}` on one CPU\n")
    print(
        f"Alone the load takes {alone:,.0f} ns of CPU for each page, {1e9 / alone:,.0f} pages/s. Median "
        f"(min..max) over {rounds} rounds.\n"
    )
    print_table(HEAD, list(sampled.rows()))
