# SPDX-License-Identifier: Apache-2.0
"""The experiments with one kernel: its guests, and what their recordings must hold.

`examine` runs two guests side by side: one does what is allowed and what leaks; the other does what is
wrong, and last what may end it.  `examine_at_once` does all but that in one guest.  `examine_survivors`
does what leaks, in the mode "survivors".  `examine_here` needs no guest: it records, on the running
kernel, what user space alone can make it allocate.
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
from functools import partial
from pathlib import Path

from slabtrace.errors import SlabtraceError
from tests.kernels import (
    build,
    guest,
    import_checks,
    inspection_checks,
    kinds,
    leak_checks,
    line_checks,
    memory_checks,
    mismatch_checks,
    small,
    workload,
)
from tests.kernels.inspection_checks import INSPECT
from tests.kernels.leak_checks import Findings
from tests.kernels.packages import Kernel, cache_folder

PASSED = "ok"
OTHER_MEMORY = ("--percpu", "--pages", "--vmalloc")
HERE = "here"  # the label of the running kernel
Check = tuple[str, Callable[[Findings], None]]


@dataclass(frozen=True)
class Row:
    """One line of the lab's table; `detail`: lines below it."""

    kernel: str
    check: str
    result: str
    seconds: float | None = None
    detail: str = ""

    def __str__(self) -> str:
        seconds = "" if self.seconds is None else f"{self.seconds:6.1f} s"
        below = f"\n{self.detail}" if self.detail else ""
        return f"{self.kernel:10}{self.check:24}{seconds:10}{self.result}{below}"


def say(*rows: Row) -> Row:
    """Print rows at once and together; returns the last one."""
    sys.stdout.write("".join(f"{row}\n" for row in rows))
    sys.stdout.flush()
    return rows[-1]


def folder(label: str, experiment: str) -> Path:
    """The folder of a guest's recording, steps and console.  The next run of that guest replaces it."""
    return cache_folder() / "runs" / label / experiment


def examine(kernel: Kernel, timeout: float) -> list[Row]:
    """Build, boot, record, and compare what slabtrace found with what was done."""
    begun = time.monotonic()
    module = build.module(kernel)
    rows = [Row(kernel.label, "build", PASSED, time.monotonic() - begun)]
    scripts = (
        workload.leaks_script(build.leaver(), module, guest.SHARED),
        workload.mismatches_script(module, guest.SHARED),
    )
    with ThreadPoolExecutor(2) as pool:
        leaks = pool.submit(_record, kernel, "leaks", scripts[0], timeout, *OTHER_MEMORY)
        wrong = pool.submit(_record, kernel, "mismatches", scripts[1], timeout)
    checks = [*leak_checks.checks(), *memory_checks.checks(), *line_checks.source_lines(module)]
    rows += _checked(kernel, "leaks", leaks.result(), checks)
    rows += _findings(kernel.label, "leaks", leak_checks.of_cgroups(), "cgroups.slab")
    return rows + _checked(kernel, "mismatches", wrong.result(), mismatch_checks.checks(), dies=True)


def examine_at_once(kernel: Kernel, timeout: float) -> list[Row]:
    """The same with one guest, which does nothing that may end it."""
    module = build.module(kernel)
    script = workload.whole_script(build.leaver(), module, guest.SHARED)
    checks = [*leak_checks.checks(), *memory_checks.checks(), *mismatch_checks.checks()]
    checks += line_checks.source_lines(module)
    return _checked(kernel, "whole", _record(kernel, "whole", script, timeout, *OTHER_MEMORY), checks)


def examine_survivors(kernel: Kernel, timeout: float) -> list[Row]:
    """What leaks, where the kernel pairs allocations and frees."""
    script = workload.leaks_script(build.leaver(), build.module(kernel), guest.SHARED)
    outcome = _record(kernel, "survivors", script, timeout, "--mode", "survivors")
    return _checked(kernel, "survivors", outcome, leak_checks.of_survivors())


def examine_inspected(kernel: Kernel, timeout: float) -> list[Row]:
    """What leaks, with --inspect: an emulated CPU searches memory for minutes."""
    script = workload.inspected_script(build.leaver(), build.module(kernel), guest.SHARED)
    outcome = _record(kernel, "inspected", script, timeout, *INSPECT)
    return _checked(kernel, "inspected", outcome, inspection_checks.checks())


def examine_kinds(kernel: Kernel, timeout: float) -> list[Row]:
    """Ten kinds of objects, each recognised, and its holder found."""
    argv, place = [sys.executable, "-m", "tests.kernels.kinds", guest.SHARED], folder(kernel.label, "kinds")
    outcome = guest.run(kernel, argv, place, timeout)
    rows = _guest_rows(kernel, "kinds", outcome, dies=False)
    if outcome.failure or not (place / kinds.FILE).exists():
        return rows
    return rows + [_checked_row(kernel.label, name, check) for name, check in kinds.checks(place)]


def examine_modes(kernel: Kernel, timeout: float) -> list[Row]:
    """Every mode and option compiled, loaded and attached once: a guest of its own, for it takes long."""
    argv = [sys.executable, "-m", "tests.kernels.inside", guest.SHARED, "--modes"]
    outcome = guest.run(kernel, argv, folder(kernel.label, "modes"), timeout)
    return _guest_rows(kernel, "modes", outcome, dies=False)


def examine_faults(kernel: Kernel, timeout: float) -> list[Row]:
    """Faults that need a kernel of their own; the last two recordings must hold exact counts."""
    program = " ".join(map(str, [build.leaver(), *workload.LEFT]))
    argv = [sys.executable, "-m", "tests.kernels.faults", guest.SHARED, program]
    outcome = guest.run(kernel, argv, folder(kernel.label, "faults"), timeout)
    rows = _checked(kernel, "faults", outcome, leak_checks.of_user_space())
    return rows + _findings(kernel.label, "faults", leak_checks.of_user_space(), "clock.slab")


def examine_imports(kernel: Kernel, timeout: float) -> list[Row]:
    """One run recorded by slabtrace and other tools at once, compared object by object."""
    place = folder(kernel.label, "imports")
    modules = build.lttng(kernel)
    argv = [sys.executable, "-m", "tests.kernels.tracers", guest.SHARED]
    argv += [str(modules)] if modules is not None else []
    script = workload.kept_script(build.leaver(), build.module(kernel), guest.SHARED)
    outcome = guest.run(kernel, argv, place, timeout, {"workload.sh": script})
    rows = _guest_rows(kernel, "imports", outcome, dies=False)
    return rows if outcome.failure else rows + compare_imports(kernel.label)


def compare_imports(label: str) -> list[Row]:
    """Compare the recordings of examine_imports, again if need be."""
    return _findings(label, "imports", import_checks.checks(folder(label, "imports")))


def examine_small(kernel: Kernel, timeout: float) -> list[Row]:
    """The default recording where memory is small; the last row says what it takes of the kernel's."""
    program = " ".join(map(str, [build.leaver(), *workload.LEFT]))
    argv = [sys.executable, "-m", "tests.kernels.small", guest.SHARED, program]
    place = folder(kernel.label, "small")
    outcome = guest.run(kernel, argv, place, timeout, memory_mib=small.MEMORY_MIB)
    rows = _checked(kernel, "small", outcome, small.checks(place))
    if outcome.failure:
        return rows
    used = (f"{each} {value / 2**20:.1f}" for each, value in small.kernel_memory(place).items())
    return [*rows, Row(kernel.label, "kernel memory, MiB", PASSED, detail="  " + ", ".join(used))]


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
    """Free what the leaver left (tests/live/leaver.c)."""
    subprocess.run(["ipcrm", "-q", str(queue)], check=False)
    os.kill(child, signal.SIGKILL)


def _record(kernel: Kernel, experiment: str, script: str, timeout: float, *options: str) -> guest.Outcome:
    argv = [sys.executable, "-m", "tests.kernels.inside", guest.SHARED]
    argv += ["--doctor"] if experiment == "leaks" else []
    argv += options
    files = {"workload.sh": script, "cgroups.sh": workload.cgroups_script(build.leaver())}
    return guest.run(kernel, argv, folder(kernel.label, experiment), timeout, files)


def _checked(
    kernel: Kernel, experiment: str, outcome: guest.Outcome, checks: Iterable[Check], dies: bool = False
) -> list[Row]:
    """How the guest ended, and the checks of its recording; no checks where it did not end as it should.

    `dies`: it may panic, its kernel may complain, and its last step may not end.
    """
    rows = _guest_rows(kernel, experiment, outcome, dies)
    if outcome.failure and not (dies and outcome.panicked):
        return rows
    return rows + _findings(kernel.label, experiment, checks)


def _guest_rows(kernel: Kernel, experiment: str, outcome: guest.Outcome, dies: bool) -> list[Row]:
    label, died = kernel.label, dies and outcome.panicked
    result, detail = (PASSED, "") if died or not outcome.failure else (outcome.failure, outcome.state)
    rows = [Row(label, f"guest: {experiment}", result, outcome.seconds, detail)]
    if outcome.boots > 1:
        rows.append(Row(label, f"  booted {outcome.boots} times", PASSED))
    if not dies:
        unexpected = [line for line in outcome.complaints if not workload.COMPLAINT.search(line)]
        rows += [Row(label, "console", line) for line in unexpected]
    rows += [Row(label, f"  wait: {name}", PASSED, seconds) for name, seconds in outcome.waits_s.items()]
    for line in guest.read(outcome.folder / "steps.jsonl").splitlines():
        step = json.loads(line)
        words = (step["stderr"] or step["stdout"]).strip().splitlines()[:1]
        rows.append(Row(label, step["name"], " ".join(words) if step["status"] else PASSED, step["seconds"]))
    return rows


def _findings(label: str, experiment: str, checks: Iterable[Check], trace: str = "trace.slab") -> list[Row]:
    try:
        findings = Findings(folder(label, experiment) / trace)
    except SlabtraceError as error:
        return [Row(label, "trace", f"FAILED  {error}")]
    return [_checked_row(label, name, partial(check, findings)) for name, check in checks]


def _checked_row(label: str, name: str, check: Callable[[], None]) -> Row:
    try:
        check()
        return Row(label, name, PASSED)
    except AssertionError as error:
        return Row(label, name, f"FAILED  {error}")
