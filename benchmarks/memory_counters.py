# SPDX-License-Identifier: Apache-2.0
"""What memory.arrow costs: CPU time of each read, and bytes on disk for a day.

    python -m benchmarks.memory_counters [SECONDS]

Reads /proc only; no root is needed, but what cannot be read costs nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from slabtrace.capture.memory.sampler import MemorySampler
from slabtrace.capture.memory.sources import Source, sources
from slabtrace.capture.memory.watch import TOGETHER_S
from slabtrace.trace.files.place import Place
from slabtrace.trace.format import schema
from slabtrace.trace.writing.writer import TableWriter, record_batch

DAY_S = 86_400
REPEATS = 50


def main(seconds: float) -> None:
    """Print both tables."""
    for source in sources(alone=True):
        sys.stdout.write(f"{_cost_us(source):8.0f} us  {source.name}\n")
    for together in (1.0, TOGETHER_S):
        rate, changed = _bytes_per_s(seconds, together)
        sys.stdout.write(
            f"{rate * DAY_S / 1e6:8.1f} MB a day, {together:.0f} samples a batch, "
            f"{changed:.1f} counters changed a second\n"
        )


def _cost_us(source: Source) -> float:
    """CPU time of a reading, the least of three rounds."""
    rounds = []
    try:
        for _ in range(3):
            begin = time.thread_time_ns()
            for _ in range(REPEATS):
                source.read()
            rounds.append((time.thread_time_ns() - begin) / REPEATS / 1e3)
    except (OSError, ValueError):
        return float("nan")
    return min(rounds)


def _bytes_per_s(seconds: float, together: float) -> tuple[float, float]:
    """Growth of the file without its first sample, and how many counters changed a second."""
    sampler, rows, changed = MemorySampler(), list[tuple[int, str, int]](), 0
    with tempfile.TemporaryDirectory() as folder:
        table = TableWriter(Place(Path(folder)), "memory.arrow", schema.MEMORY)
        table.append(record_batch(zip(*_sample(sampler), strict=True), schema.MEMORY))
        before = table.bytes
        for number in range(1, int(seconds) + 1):
            time.sleep(1)
            rows += _sample(sampler)
            if number % together == 0 and rows:
                table.append(record_batch(zip(*rows, strict=True), schema.MEMORY))
                changed, rows = changed + len(rows), []
        return (table.bytes - before) / int(seconds), changed / int(seconds)


def _sample(sampler: MemorySampler) -> list[tuple[int, str, int]]:
    now = time.monotonic_ns()
    return [(now, name, value) for name, value in sampler.sample().items()]


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 64)
