# SPDX-License-Identifier: Apache-2.0
"""What `slabtrace fleet` takes: two workers beside this process, and the reduce of 10,000 digests.

Both engines read the same traces in each round, one after the other, so a ratio within a round says what the
engine costs, on a busy machine too.  The reduce is a process of its own, whose CPU time and peak are counted.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from slabtrace.fleet.engines import dask
from slabtrace.fleet.engines.engine import Engine, InProcess
from slabtrace.fleet.running import run
from slabtrace.fleet.store import Store
from tests.unit.fleet import fleets
from tests.unit.synthetic import Event, alloc, free, write_trace

TRACES, EVENTS, ROUNDS = 16, 300_000, 5
DIGESTS = 10_000


def main(quick: bool) -> None:
    """Print the two tables."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-bench-") as name:
        engines(Path(name), 4 if quick else TRACES, 1 if quick else ROUNDS)
        reduce(Path(name), 500 if quick else DIGESTS)


def engines(folder: Path, traces: int, rounds: int) -> None:
    """The throughput of two workers, as a share of this process's."""
    fleet = made(folder / "fleet", traces)
    cluster = dask.local(2)
    ratios = []
    try:
        read(fleet, folder, lambda: borrowed(cluster))  # imports, on both sides
        for _ in range(rounds):
            store = Store(Path(tempfile.mkdtemp(dir=folder)))
            here = read(fleet, folder, lambda store=store: InProcess(store))
            ratios.append(here / read(fleet, folder, lambda: borrowed(cluster)))
    finally:
        cluster.close()
    print("| traces | events | two workers' throughput, of one process's (median, min..max) |\n|---|---|---|")
    spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
    print(f"| {traces} | {traces * EVENTS:,} | {statistics.median(ratios):.2f} ({spread}) |\n")


def reduce(folder: Path, number: int) -> None:
    """CPU time and peak memory of the command over so many digests."""
    place = folder / "digests"
    place.mkdir()
    for name, content in fleets.digests(fleets.Plan(hosts=number, leaking=number * 3 // 100, benign=200)):
        (place / f"{name}.digest.parquet").write_bytes(content)
    command = [
        sys.executable,
        "-m",
        "slabtrace",
        "fleet",
        str(place),
        "--digests",
        str(folder / "store"),
        "--json",
    ]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print("| digests | wall s | CPU s | peak MiB |\n|---|---|---|---|")
    print(f"| {number:,} | {time.monotonic() - began:.0f} | {cpu:.1f} | {used.ru_maxrss / 1024:.0f} |")


def made(fleet: Path, traces: int) -> Path:
    """Traces of one load on as many hosts."""
    events: list[Event] = []
    for at in range(EVENTS // 2):
        events += [alloc(2 * at, 0x1000 + 64 * (at % 5000), call_site=0x100 + at % 300)]
        events += [free(2 * at + 1, 0x1000 + 64 * (at % 5000))]
    first = write_trace(fleet / "host-0.slab", events, batch_events=131_072, seconds=60)
    for number in range(1, traces):
        target = fleet / f"host-{number}.slab"
        shutil.copytree(first, target)
        manifest = json.loads((target / "manifest.json").read_text())
        manifest["host"]["hostname"] = f"host-{number}"
        (target / "manifest.json").write_text(json.dumps(manifest))
    return fleet


def read(fleet: Path, folder: Path, engine: Callable[[], Engine]) -> float:
    """Seconds to read all of them, into an empty store."""
    began = time.monotonic()
    outcome = run([str(fleet)], engine, Store(Path(tempfile.mkdtemp(dir=folder))), lambda _: None)
    assert not outcome.unread
    return time.monotonic() - began


def borrowed(cluster: dask.Dask) -> dask.Dask:
    """An engine on running workers, which does not stop them."""
    engine = dask.Dask(cluster._client)
    engine.close = lambda: None  # type: ignore[method-assign]
    return engine
