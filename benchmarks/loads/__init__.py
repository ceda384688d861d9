# SPDX-License-Identifier: Apache-2.0
"""The loads: compile them, pin each to a CPU, run them for a given time, count their slab events."""

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
SLICE = 1280  # operations, 1 to 5 ms: shorter than the CPU's speed stays the same


@cache
def built(name: str) -> Path:
    """The path of the compiled load `name` (loads/NAME.c)."""
    binary = Path(_BINARIES.name) / name
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-o", str(binary), str(_SOURCES / f"{name}.c")]
    subprocess.run(command, check=True)
    return binary


class Done(NamedTuple):
    """Operations done, their CPU time (ns), and the CPU time of one yardstick (load.h) in the same time."""

    operations: int
    ns: int
    yardstick_ns: float


class Load:
    """A load pinned to one CPU.  It waits for `begin`, and ends with the `with` block."""

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
        """Start `amount` operations (unit "ops") or seconds (unit "secs"); `finish` waits for their end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{unit} {amount}\n")
        self._process.stdin.flush()

    def finish(self) -> Done:
        """Wait until what the last `begin` started is done."""
        assert self._process.stdout is not None
        operations, ns, yardstick_ns = self._process.stdout.readline().split()
        return Done(int(operations), int(ns), float(yardstick_ns))

    def run(self, operations: int) -> Done:
        """Do this many operations and wait for them."""
        self.begin("ops", operations)
        return self.finish()

    def slices(self, seconds: float) -> Slices:
        """Run for `seconds` in slices of SLICE operations, each with its yardstick; shape (n, 2)."""
        until = time.monotonic() + seconds
        found = []
        while time.monotonic() < until:
            done = self.run(SLICE)
            found.append((done.ns / done.operations, done.yardstick_ns))
        return np.array(found)


def run_everywhere(loads: list[Load], seconds: float) -> tuple[int, float]:
    """Run all loads at once; returns (their operations in total, CPU ns of one operation)."""
    for load in loads:
        load.begin("secs", seconds)
    results = [load.finish() for load in loads]
    operations = sum(done.operations for done in results)
    return operations, sum(done.ns for done in results) / operations


def events_per_operation(name: str, cpu: int, operations: int = 50_000) -> tuple[float, float]:
    """Slab tracepoints fired by one operation, and how many of them carry an object, as `perf stat` counts.

    The count is independent of the tracers.  It includes everything on the load's CPU, because RCU
    frees objects while other tasks run.  Other work on that CPU can only add events, so the smallest
    of several counts is the most exact one.  Raises Unavailable if perf cannot count here.
    """
    with Load(name, cpu) as load:
        load.run(operations)
        samples = [_counted(load, operations) for _ in range(_COUNTS)]
    fired = [min(column) for column in zip(*samples, strict=True)]
    objects = sum(fired) - fired[EVENTS.index("kmem:kfree")]
    return sum(fired[:-1]), objects


def _counted(load: Load, operations: int) -> list[float]:
    """How often one operation fired each of EVENTS, and kfree with an object, on the load's CPU."""
    with tempfile.NamedTemporaryFile("r") as result:
        events = [option for event in EVENTS for option in ("-e", event)]
        command = ["perf", "stat", "-x", ",", "-o", result.name, "-C", str(load.cpu), *events]
        command += ["-e", "kmem:kfree", "--filter", "ptr > 16", "--", "cat"]
        # perf counts until `cat` ends, and `cat` ends when its stdin is closed
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
