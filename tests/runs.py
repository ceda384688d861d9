# SPDX-License-Identifier: Apache-2.0
"""What `make test` runs: the unit tests on all CPUs, the live tests, and the live tests beside noise.

    python -m tests.runs [OPTION OF pytest...]

A run that fails does not stop the next one.  At the end pytest's closing line of each run is repeated, and
the exit code is 1 if any run failed.  Without root the live tests are skipped, each saying why, and once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple


class Run(NamedTuple):
    """One call of pytest."""

    name: str
    options: tuple[str, ...]


CPUS = len(os.sched_getaffinity(0))
UNIT = Run("unit tests", ("-n", str(CPUS), "--dist", "loadfile", "tests/unit", "tests/browser"))
LIVE = Run("live tests", ("tests/live", "tests/kernels"))
NOISE = Run("live tests beside noise", ("--noise", "tests/live"))


def main(options: list[str]) -> int:
    """Do them; 1 if one failed."""
    runs = [UNIT, LIVE, NOISE] if os.geteuid() == 0 else [UNIT, LIVE]
    outcomes = [(run, *_run(run, options)) for run in runs]
    for run, _, closing in outcomes:
        _say(f"{run.name}:\n{closing}")
    return int(any(status for _, status, _ in outcomes))


def _run(run: Run, options: list[str]) -> tuple[int, str]:
    """pytest's exit code and its last line; all that it prints is passed on."""
    _say(f"\n{run.name}: pytest {' '.join(run.options)}")
    argv = [sys.executable, "-m", "pytest", *options, *run.options]
    closing = "pytest printed nothing"
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stdout is not None
        while piece := process.stdout.readline():
            sys.stdout.write(piece)
            sys.stdout.flush()
            closing = piece.rstrip() or closing
    return process.returncode, closing


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
