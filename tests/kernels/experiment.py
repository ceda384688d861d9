# SPDX-License-Identifier: Apache-2.0
"""The experiment with one kernel: two guests side by side, and what their recordings must hold.

One does what is allowed and what leaks; the other what is wrong, up to what may end it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from slabtrace.errors import SlabtraceError
from tests.kernels import build, guest, leak_checks, mismatch_checks, workload
from tests.kernels.leak_checks import Findings
from tests.kernels.packages import Kernel, cache_folder

PASSED = "ok"
Check = tuple[str, Callable[[Findings], None]]


@dataclass(frozen=True)
class Row:
    """One line of the lab's table."""

    kernel: str
    check: str
    result: str
    seconds: float | None = None

    def __str__(self) -> str:
        seconds = "" if self.seconds is None else f"{self.seconds:6.1f} s"
        return f"{self.kernel:6}{self.check:24}{seconds:10}{self.result}"


def folder(label: str, experiment: str) -> Path:
    """Where a guest's recording, its steps and its console are kept, until it runs again."""
    return cache_folder() / "runs" / label / experiment


def examine(kernel: Kernel, timeout: float) -> list[Row]:
    """Build, boot, record, and hold what was found against what was done."""
    begun = time.monotonic()
    module = build.module(kernel)
    rows = [Row(kernel.label, "build", PASSED, time.monotonic() - begun)]
    trace = f"{guest.SHARED}/trace.slab"
    with ThreadPoolExecutor(2) as pool:
        leaks = pool.submit(_record, kernel, "leaks", workload.leaks_script(build.leaver(), module), timeout)
        wrong = pool.submit(_record, kernel, "mismatches", workload.mismatches_script(module, trace), timeout)
    rows += _guest_rows(kernel, "leaks", leaks.result(), dies=False)
    rows += _findings(kernel, "leaks", leak_checks.checks())
    rows += _guest_rows(kernel, "mismatches", wrong.result(), dies=True)
    return rows + _findings(kernel, "mismatches", mismatch_checks.checks())


def _record(kernel: Kernel, experiment: str, script: str, timeout: float) -> guest.Outcome:
    argv = [sys.executable, "-m", "tests.kernels.inside", guest.SHARED]
    argv += ["--doctor"] if experiment == "leaks" else []
    return guest.run(kernel, argv, folder(kernel.label, experiment), timeout, {"workload.sh": script})


def _guest_rows(kernel: Kernel, experiment: str, outcome: guest.Outcome, dies: bool) -> list[Row]:
    """How the guest and its steps ended; `dies`: it may panic, its kernel complain and its steps not end."""
    failure = "" if dies and outcome.panicked else outcome.failure
    rows = [Row(kernel.label, f"guest: {experiment}", failure or PASSED, outcome.seconds)]
    if not dies:
        rows += [Row(kernel.label, "console", line) for line in outcome.complaints]
    for line in guest.read(outcome.folder / "steps.jsonl").splitlines():
        step = json.loads(line)
        words = (step["stderr"] or step["stdout"]).strip().splitlines()[:1]
        result = PASSED if not step["status"] else " ".join(words)
        rows.append(Row(kernel.label, step["name"], result, step["seconds"]))
    return rows


def _findings(kernel: Kernel, experiment: str, checks: Iterable[Check]) -> list[Row]:
    try:
        findings = Findings(folder(kernel.label, experiment) / "trace.slab")
    except SlabtraceError as error:
        return [Row(kernel.label, "trace", f"FAILED  {error}")]
    rows = []
    for name, check in checks:
        try:
            check(findings)
            rows.append(Row(kernel.label, name, PASSED))
        except AssertionError as error:
            rows.append(Row(kernel.label, name, f"FAILED  {error}"))
    return rows
