# SPDX-License-Identifier: Apache-2.0
"""The loads: compile them, pin them to a CPU, tell them how long to run, count their slab events."""

from __future__ import annotations

import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.machine import Unavailable, pinned
from benchmarks.pace import Slices

_SOURCES = Path(__file__).resolve().parent
_BINARIES = tempfile.TemporaryDirectory(prefix="slabtrace-loads-")  # removed when the process ends

EVENTS = ("kmem:kmalloc", "kmem:kmem_cache_alloc", "kmem:kfree", "kmem:kmem_cache_free")
_COUNTS = 5
SLICE = 1280  # operations: 1 to 5 ms, short against the changes of the CPU's speed


@cache
def built(name: str) -> Path:
    """The path of the compiled load `name` (loads/NAME.c)."""
    binary = Path(_BINARIES.name) / name
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-o", str(binary), str(_SOURCES / f"{name}.c")]
    subprocess.run(command, check=True)
    return binary


class Done(NamedTuple):
    """What a load did: operations, their CPU time, and the CPU time of one yardstick (load.h) meanwhile."""

    operations: int
    ns: int
    yardstick_ns: float


class Load:
    """A load pinned to one CPU; it does nothing until told, and ends with the `with` block."""

    def __init__(self, name: str, cpu: int) -> None:
        self.name, self.cpu = name, cpu
        self._process = subprocess.Popen(
            pinned(cpu, [str(built(name))]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def begin(self, unit: str, amount: float) -> None:
        """Start "ops" operations or "secs" seconds; `finish` waits for them."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{unit} {amount}\n")
        self._process.stdin.flush()

    def finish(self) -> Done:
        """Wait for the last `begin`."""
        assert self._process.stdout is not None
        operations, ns, yardstick_ns = self._process.stdout.readline().split()
        return Done(int(operations), int(ns), float(yardstick_ns))

    def run(self, operations: int) -> Done:
        """Do so many operations."""
        self.begin("ops", operations)
        return self.finish()

    def slices(self, seconds: float) -> Slices:
        """Run for a while in short slices, each with its yardstick."""
        until = time.monotonic() + seconds
        found = []
        while time.monotonic() < until:
            done = self.run(SLICE)
            found.append((done.ns / done.operations, done.yardstick_ns))
        return np.array(found)


def run_everywhere(loads: list[Load], seconds: float) -> tuple[int, float]:
    """Run all loads at once; returns (operations of all, ns of CPU time that one took)."""
    for load in loads:
        load.begin("secs", seconds)
    results = [load.finish() for load in loads]
    operations = sum(done.operations for done in results)
    return operations, sum(done.ns for done in results) / operations


def events_per_operation(name: str, cpu: int, operations: int = 50_000) -> tuple[float, float]:
    """(slab tracepoints fired, those that carried an object) by one operation, counted by `perf stat`.

    An independent count of what every tracer is offered.  All that happens on the load's CPU is
    counted, because RCU frees in other tasks' time; what else runs there only adds, so the
    smallest of several counts is nearest to the truth.
    """
    with Load(name, cpu) as load:
        load.run(operations)
        samples = [_counted(load, operations) for _ in range(_COUNTS)]
    fired = [min(column) for column in zip(*samples, strict=True)]
    objects = sum(fired) - fired[EVENTS.index("kmem:kfree")]
    return sum(fired[:-1]), objects


def _counted(load: Load, operations: int) -> list[float]:
    """How often each of EVENTS, and kfree of an object, fired on the load's CPU for one operation."""
    with tempfile.NamedTemporaryFile("r") as result:
        events = [option for event in EVENTS for option in ("-e", event)]
        command = ["perf", "stat", "-x", ",", "-o", result.name, "-C", str(load.cpu), *events]
        command += ["-e", "kmem:kfree", "--filter", "ptr > 16", "--", "cat"]
        # `cat` ends with its stdin: counting goes on exactly as long as we hold it open
        counter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert counter.stdin is not None and counter.stdout is not None
        counter.stdin.write(b"counting\n")
        counter.stdin.flush()
        if not counter.stdout.readline():
            raise Unavailable("perf stat cannot count the kmem tracepoints here")
        done = load.run(operations)
        counter.communicate()
        lines = [line.split(",") for line in Path(result.name).read_text().splitlines()]
    return [int(line[0]) / done.operations for line in lines if len(line) > 2 and line[2].startswith("kmem:")]
