# SPDX-License-Identifier: Apache-2.0
"""python -m tests.kernels [KERNEL…]: the lab's one command.  Exits with 1 if anything failed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kernels import build, guest, workload
from tests.kernels.packages import SUITES, Kernel, LabError, cache_folder, obtain

PASSED = "ok"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    kernel: str
    check: str
    result: str
    seconds: float | None = None

    def __str__(self) -> str:
        seconds = "" if self.seconds is None else f"{self.seconds:6.1f} s"
        return f"{self.kernel:6}{self.check:24}{seconds:10}{self.result}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kernels", description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=f"of {', '.join(SUITES)}; default all")
    parser.add_argument("--timeout", type=float, default=420, help="seconds that a guest may take")
    parser.add_argument("--run", metavar="COMMAND", help="run this shell command in the guest instead")
    arguments = parser.parse_args()
    unknown = [label for label in arguments.kernels if label not in SUITES]
    if unknown:
        parser.error(f"no such kernel: {', '.join(unknown)}")
    failed = False
    for label in arguments.kernels or SUITES:
        try:
            rows = _try(label, arguments)
        except LabError as error:
            rows = [Row(label, "lab", str(error))]
        failed |= any(row.result != PASSED for row in rows)
    return 1 if failed else 0


def _try(label: str, arguments: argparse.Namespace) -> list[Row]:
    begun = time.monotonic()
    kernel = obtain(label)
    rows = [_say(Row(label, "fetch", PASSED, time.monotonic() - begun))]
    if arguments.run:
        outcome = guest.run(kernel, ["sh", "-c", arguments.run], _folder(label), arguments.timeout)
        sys.stdout.write(outcome.output)
        return [*rows, _say(Row(label, "run", outcome.failure or PASSED, outcome.seconds))]
    return rows + [_say(row) for row in _check(kernel, arguments.timeout)]


def _say(row: Row) -> Row:
    sys.stdout.write(f"{row}\n")
    sys.stdout.flush()
    return row


def _folder(label: str) -> Path:
    return cache_folder() / "runs" / label


def _check(kernel: Kernel, timeout: float) -> list[Row]:
    """Boot, record, and hold what was found against what was done."""
    begun = time.monotonic()
    module = build.module(kernel)
    rows = [Row(kernel.label, "build", PASSED, time.monotonic() - begun)]
    folder = _folder(kernel.label)
    argv = [sys.executable, "-m", "tests.kernels.inside", "/run/lab"]
    files = {"workload.sh": workload.script(build.leaver(), module)}
    outcome = guest.run(kernel, argv, folder, timeout, files)
    rows.append(Row(kernel.label, "guest", outcome.failure or PASSED, outcome.seconds))
    rows += [Row(kernel.label, "console", line) for line in outcome.complaints]
    for line in guest.read(folder / "steps.jsonl").splitlines():
        step = json.loads(line)
        words = (step["stderr"] or step["stdout"]).strip().splitlines()[:1]
        rows.append(
            Row(
                kernel.label, step["name"], PASSED if not step["status"] else " ".join(words), step["seconds"]
            )
        )
    return rows + _findings(kernel)


def _findings(kernel: Kernel) -> list[Row]:
    path = _folder(kernel.label) / "trace.slab"
    if not path.exists():
        return [Row(kernel.label, "trace", "none was recorded")]
    findings, rows = workload.Findings(path), []
    for name, check in workload.checks():
        try:
            check(findings)
            rows.append(Row(kernel.label, name, PASSED))
        except AssertionError as error:
            rows.append(Row(kernel.label, name, f"FAILED  {error}"))
    return rows


if __name__ == "__main__":
    sys.exit(main())
