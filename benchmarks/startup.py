# SPDX-License-Identifier: Apache-2.0
"""How long a user waits for the first traced event, and for `--help`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import tracers
from benchmarks.machine import LONG_PATIENCE_S, note, wait_until_quiet
from benchmarks.table import print_table, spread


def attach_ms(stacks: str) -> float:
    """Milliseconds from the start of the process to `started_ns`, when every program is attached."""
    with tempfile.TemporaryDirectory(prefix="slabtrace-bench-") as name:
        folder = Path(name)
        with tracers.slabtrace(folder, stacks) as running:
            started_ns = int(tracers.manifest(folder / "t.slab")["started_ns"])
        return (started_ns - running.begun_ns) / 1e6


def help_ms() -> float:
    """Wall time (ms) of the installed `slabtrace --help`, started as by a shell."""
    command = [str(Path(sys.executable).parent / "slabtrace"), "--help"]
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1e3


def main(quick: bool) -> None:
    """Print median (min..max) of each."""
    times = 3 if quick else 9
    quiet = wait_until_quiet(LONG_PATIENCE_S)
    note("startup")
    print("### Start-up" + ("" if quiet else " (the machine was busy)") + "\n")
    rows = [
        ["record: attached and tracing, --stacks none", spread([attach_ms("none") for _ in range(times)])],
        ["record: attached and tracing, --stacks all", spread([attach_ms("all") for _ in range(times)])],
        ["slabtrace --help", spread([help_ms() for _ in range(2 * times)])],
    ]
    print_table(["from the start of the process to", "ms"], rows)
