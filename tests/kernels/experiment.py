# SPDX-License-Identifier: Apache-2.0
"""The experiments with one kernel: its guests, and what their recordings must hold.

`examine` has two guests side by side: one does what is allowed and what leaks, the other what is
wrong, up to what may end it.  `examine_at_once` does all but the last in one guest; `examine_survivors`
what leaks, in the mode "survivors".  `examine_here` has no guest: the kernel that runs us does as much
as user space can drive.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
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
TRACE = f"{guest.SHARED}/trace.slab"  # in every guest
HERE = "here"  # the label of the running kernel
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
        return f"{self.kernel:9}{self.check:24}{seconds:10}{self.result}"


def say(row: Row) -> Row:
    """Print a row as soon as it is known; returns it."""
    sys.stdout.write(f"{row}\n")
    sys.stdout.flush()
    return row


def folder(label: str, experiment: str) -> Path:
    """Where a guest's recording, its steps and its console are kept, until it runs again."""
    return cache_folder() / "runs" / label / experiment


def examine(kernel: Kernel, timeout: float) -> list[Row]:
    """Build, boot, record, and hold what was found against what was done."""
    begun = time.monotonic()
    module = build.module(kernel)
    rows = [Row(kernel.label, "build", PASSED, time.monotonic() - begun)]
    scripts = workload.leaks_script(build.leaver(), module, TRACE), workload.mismatches_script(module, TRACE)
    with ThreadPoolExecutor(2) as pool:
        leaks = pool.submit(_record, kernel, "leaks", scripts[0], timeout)
        wrong = pool.submit(_record, kernel, "mismatches", scripts[1], timeout)
    rows += _guest_rows(kernel, "leaks", leaks.result())
    rows += _findings(kernel.label, "leaks", leak_checks.checks())
    rows += _guest_rows(kernel, "mismatches", wrong.result(), dies=True)
    return rows + _findings(kernel.label, "mismatches", mismatch_checks.checks())


def examine_at_once(kernel: Kernel, timeout: float) -> list[Row]:
    """The same with one guest, which does nothing that may end it."""
    script = workload.whole_script(build.leaver(), build.module(kernel), TRACE)
    rows = _guest_rows(kernel, "whole", _record(kernel, "whole", script, timeout))
    checks = [*leak_checks.checks(), *mismatch_checks.checks()]
    return rows + _findings(kernel.label, "whole", checks)


def examine_survivors(kernel: Kernel, timeout: float) -> list[Row]:
    """What leaks, paired in the kernel."""
    script = workload.leaks_script(build.leaver(), build.module(kernel), TRACE)
    outcome = _record(kernel, "survivors", script, timeout, "--mode", "survivors")
    rows = _guest_rows(kernel, "survivors", outcome)
    return rows + _findings(kernel.label, "survivors", leak_checks.of_survivors())


def examine_faults(kernel: Kernel, timeout: float) -> list[Row]:
    """Faults that take a kernel to themselves; what the last two recordings hold is exact."""
    program = " ".join(map(str, [build.leaver(), *workload.LEFT]))
    argv = [sys.executable, "-m", "tests.kernels.faults", guest.SHARED, program]
    outcome = guest.run(kernel, argv, folder(kernel.label, "faults"), timeout)
    rows = _guest_rows(kernel, "faults", outcome)
    rows += _findings(kernel.label, "faults", leak_checks.of_user_space(), "clock.slab")
    return rows + _findings(kernel.label, "faults", leak_checks.of_user_space())


def examine_here() -> list[Row]:
    """Messages and pipes on the running kernel.  Needs root."""
    place = folder(HERE, "leaks")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    leaver = [str(build.leaver()), *map(str, workload.LEFT)]
    argv = [sys.executable, "-m", "slabtrace", "record", "--stacks", "all"]
    argv += ["-o", str(place / "trace.slab"), "--", *leaver]
    begun = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, cwd=guest.ROOT)
    result = PASSED if done.returncode == 0 else done.stderr.strip()
    rows = [Row(HERE, "record", result, time.monotonic() - begun)]
    if done.returncode:
        return rows
    _tidy_up(*map(int, done.stdout.split()))
    return rows + _findings(HERE, "leaks", leak_checks.of_user_space())


def _tidy_up(queue: int, child: int) -> None:
    """Give back what the leaver left (tests/live/leaver.c)."""
    subprocess.run(["ipcrm", "-q", str(queue)], check=False)
    os.kill(child, signal.SIGKILL)


def _record(kernel: Kernel, experiment: str, script: str, timeout: float, *options: str) -> guest.Outcome:
    argv = [sys.executable, "-m", "tests.kernels.inside", guest.SHARED]
    argv += ["--doctor"] if experiment == "leaks" else []
    argv += options
    return guest.run(kernel, argv, folder(kernel.label, experiment), timeout, {"workload.sh": script})


def _guest_rows(kernel: Kernel, experiment: str, outcome: guest.Outcome, dies: bool = False) -> list[Row]:
    """How the guest and its steps ended; `dies`: it may panic, its kernel complain and its steps not end."""
    failure = "" if dies and outcome.panicked else outcome.failure
    rows = [Row(kernel.label, f"guest: {experiment}", failure or PASSED, outcome.seconds)]
    if not dies:
        unexpected = [line for line in outcome.complaints if not workload.COMPLAINT.search(line)]
        rows += [Row(kernel.label, "console", line) for line in unexpected]
    for line in guest.read(outcome.folder / "steps.jsonl").splitlines():
        step = json.loads(line)
        words = (step["stderr"] or step["stdout"]).strip().splitlines()[:1]
        result = PASSED if not step["status"] else " ".join(words)
        rows.append(Row(kernel.label, step["name"], result, step["seconds"]))
    return rows


def _findings(label: str, experiment: str, checks: Iterable[Check], trace: str = "trace.slab") -> list[Row]:
    try:
        findings = Findings(folder(label, experiment) / trace)
    except SlabtraceError as error:
        return [Row(label, "trace", f"FAILED  {error}")]
    rows = []
    for name, check in checks:
        try:
            check(findings)
            rows.append(Row(label, name, PASSED))
        except AssertionError as error:
            rows.append(Row(label, name, f"FAILED  {error}"))
    return rows
