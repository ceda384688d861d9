# SPDX-License-Identifier: Apache-2.0
"""Install slabtrace in Debian's releases as users do, record with their bcc, and check the counts."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from slabtrace.errors import SlabtraceError
from tests.kernels import leak_checks
from tests.kernels.experiment import PASSED, Row, say
from tests.kernels.leak_checks import Findings
from tests.kernels.packages import LabError, cache_folder
from tests.releases.release import RELEASES, bring, enter, obtain, versions

TRACES = ("all", "auto", "none", "survivors", "package")  # recorded by inside.sh


def main() -> int:
    """Examine the releases and print a row for each check; exit code 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.releases", description=__doc__)
    parser.add_argument("releases", nargs="*", metavar="RELEASE", help=f"{', '.join(RELEASES)}; default: all")
    releases, failed = parser.parse_args().releases or RELEASES, False
    if unknown := set(releases) - set(RELEASES):
        parser.error(f"no such release: {', '.join(sorted(unknown))}; choose from {', '.join(RELEASES)}")
    for name in releases:
        begun = time.monotonic()
        try:
            rows = [say(row) for row in examine(name)]
        except LabError as error:
            rows = [say(Row(name, "lab", str(error)))]
        say(Row(name, "all", PASSED, time.monotonic() - begun))
        failed |= any(row.result != PASSED for row in rows)
    return 1 if failed else 0


def examine(name: str) -> Iterator[Row]:
    """Yield the result of each step in a release, and of each check of its traces."""
    root, shared = obtain(name), cache_folder() / "runs" / name
    python, bcc = versions(root)
    yield Row(name, f"Python {python}, bcc {bcc}", PASSED)
    bring(shared, python)
    try:
        enter(root, shared)
    finally:
        tidy_up(shared / "left")
    for line in (shared / "steps").read_text().splitlines():
        step, _, result = line.partition(" ")
        yield Row(name, step, result)
    for trace in TRACES:
        yield from checked(name, shared / f"{trace}.slab")


def checked(name: str, trace: Path) -> Iterator[Row]:
    """Check the counts of a trace: messages and pipes, the same in every release."""
    kept = leak_checks.check_kept_messages if trace.stem == "survivors" else leak_checks.check_messages
    checks: list[tuple[str, Callable[[Findings], None]]] = [("messages", kept)]
    if trace.stem in ("all", "survivors"):  # only these have the stacks that distinguish them
        checks.append(("pipes", leak_checks.check_pipes))
    for what, check in checks:
        result = PASSED
        try:
            check(Findings(trace))
        except (AssertionError, SlabtraceError) as error:
            result = f"FAILED  {error}"
        yield Row(name, f"{trace.stem}: {what}", result)


def tidy_up(left: Path) -> None:
    """Release what the leavers left (tests/live/leaver.c)."""
    for line in left.read_text().splitlines() if left.exists() else ():
        queue, child = line.split()
        subprocess.run(["ipcrm", "-q", queue], check=False)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
