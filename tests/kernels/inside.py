# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: start slabtrace, and write its results where the host reads them.

The host does the analysis: an emulated CPU is slow, and the AVX2 of QEMU 7.2 returns wrong results.

    python -m tests.kernels.inside RESULTS [--doctor] [OPTION OF record…]
    python -m tests.kernels.inside RESULTS --modes      only load every mode once (modes.py)
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.kernels.workload import CGROUPS, WANTED

LOCKDEP = Path("/proc/lockdep_stats")  # lockdep turns itself off after its first complaint
SLABTRACE = [sys.executable, "-m", "slabtrace"]


def step(results: Path, name: str, argv: list[str]) -> None:
    """Run a command and append a line about it to steps.jsonl, which a later crash does not remove."""
    begun = time.monotonic()
    errors = results / f"{name}.stderr"  # the host reads it meanwhile (waits.py)
    with errors.open("w") as stderr:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=stderr, text=True, stdin=subprocess.DEVNULL
        )
    row: dict[str, Any] = {
        "name": name,
        "status": done.returncode,
        "stdout": done.stdout,
        "stderr": errors.read_text(),
        "seconds": round(time.monotonic() - begun, 1),
    }
    with (results / "steps.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def main(results: Path, doctor: bool, options: list[str]) -> None:
    """Run the steps of one guest.  The host has written its scripts (workload.py).

    `doctor`: also `slabtrace doctor`, and a recording with --cgroup.
    """
    cgroups = ["sh", "-c", f"mkdir {CGROUPS} && mount -t cgroup2 none {CGROUPS}"]
    if options == ["--modes"]:
        step(results, "cgroup v2", cgroups)
        step(results, "modes", [sys.executable, "-m", "tests.kernels.modes"])
        return
    if doctor:
        step(results, "doctor", [*SLABTRACE, "doctor"])
        step(results, "cgroup v2", cgroups)
    record = [*SLABTRACE, "record", "--stacks", "all", "-o", str(results / "trace.slab"), "--grace", "2s"]
    step(results, "record", [*record, *options, "--", "sh", "-e", str(results / "workload.sh")])
    if doctor:
        record = [*SLABTRACE, "record", "--stacks", "all", "-o", str(results / "cgroups.slab")]
        record += ["--cgroup", f"/{WANTED}*", "--", "sh", "-e", str(results / "cgroups.sh")]
        step(results, "record --cgroup", record)
    if LOCKDEP.exists():
        step(results, "lockdep still on", ["grep", "debug_locks: *1", str(LOCKDEP)])


if __name__ == "__main__":
    options = sys.argv[2:]
    main(Path(sys.argv[1]), "--doctor" in options, [each for each in options if each != "--doctor"])
