# SPDX-License-Identifier: Apache-2.0
"""What a guest does: run slabtrace, and leave its answers where the host reads them.

Analysis is done on the host: an emulated CPU is slow, and the AVX2 of QEMU 7.2 calculates wrong.

    python -m tests.kernels.inside RESULTS [--doctor] [OPTION OF record…]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SLABTRACE = [sys.executable, "-m", "slabtrace"]


def step(results: Path, name: str, argv: list[str]) -> None:
    """Run a command and add a line about it to the results, so that a crash later takes nothing back."""
    begun = time.monotonic()
    told = results / f"{name}.stderr"  # which the workload can read meanwhile
    with told.open("w") as stderr:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=stderr, text=True, stdin=subprocess.DEVNULL
        )
    row: dict[str, Any] = {
        "name": name,
        "status": done.returncode,
        "stdout": done.stdout,
        "stderr": told.read_text(),
        "seconds": round(time.monotonic() - begun, 1),
    }
    with (results / "steps.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def main(results: Path, doctor: bool, options: list[str]) -> None:
    """The steps of one guest; workload.sh is written by the host (workload.py)."""
    if doctor:
        step(results, "doctor", [*SLABTRACE, "doctor"])
    record = [*SLABTRACE, "record", "--stacks", "all", "-o", str(results / "trace.slab"), "--grace", "2s"]
    step(results, "record", [*record, *options, "--", "sh", "-e", str(results / "workload.sh")])


if __name__ == "__main__":
    options = sys.argv[2:]
    main(Path(sys.argv[1]), "--doctor" in options, [each for each in options if each != "--doctor"])
