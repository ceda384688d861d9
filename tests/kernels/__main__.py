# SPDX-License-Identifier: Apache-2.0
"""The lab's command line: `python -m tests.kernels --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests.kernels import guest, support
from tests.kernels.built import BUILT, LABELS, by_default, obtain
from tests.kernels.experiment import (
    HERE,
    PASSED,
    Row,
    examine,
    examine_at_once,
    examine_faults,
    examine_here,
    examine_imports,
    examine_inspected,
    examine_kinds,
    examine_modes,
    examine_small,
    examine_survivors,
    folder,
    say,
)
from tests.kernels.packages import Kernel, LabError, cache_folder

_DESCRIPTION = f"""\
Test slabtrace on other kernels.

For each KERNEL the lab fetches Debian's packages (once), builds a module that leaks, frees and frees
wrongly in known numbers, and boots the kernel in QEMU: two guests, both with this work tree as their root
file system.  slabtrace records in the guests; the host checks the recordings.  One guest does what is
allowed and what leaks.  The other frees wrongly, until its kernel panics.

KERNEL: {", ".join(LABELS)}; "{HERE}" is the running kernel, without a guest, and needs
root.  {", ".join(BUILT)} is built from Debian's source, with lockdep, which takes long.  Default: all, but
those that are built only if they are in the cache.

Prints a row for each guest and check ("ok", or what is wrong), then what each kernel lets slabtrace see.
Where a guest misses a deadline, the row says which condition was not met, and the lines below it show the
guest's last state.  Exit status 1: a row is not "ok".

Kernels and the last recordings are in {cache_folder()} (SLABTRACE_KERNELS).
"""
ONCE = "once"


class _Way(NamedTuple):
    """What is done instead of the two guests of `examine`, by its option."""

    does: Callable[[Kernel, float], list[Row]]
    help: str


_WAYS = {
    "survivors": _Way(examine_survivors, 'one guest each, recorded in the mode "survivors"'),
    "inspected": _Way(examine_inspected, "one guest each: what the leaked objects are, and who holds them"),
    "kinds": _Way(examine_kinds, "one guest each: ten kinds of objects, and who holds them"),
    "modes": _Way(examine_modes, "one guest each, in which every mode and option is loaded once"),
    "faults": _Way(
        examine_faults, "one guest each: little memory, few privileges, a clock that jumps, kernel lockdown"
    ),
    "imports": _Way(
        examine_imports,
        "one guest each, recorded by perf, ftrace, trace-cmd and (before 6.0) LTTng too, and compared",
    ),
    "small": _Way(examine_small, "one guest each with 512 MiB: what the default recording takes"),
    ONCE: _Way(examine_at_once, "one guest for each kernel, without the panic at the end"),
}
_KERNELS_AT_ONCE = 2  # while one is fetched or checked, the other's guests run


def main() -> int:
    """Print the rows of the kernels, then the table of docs/kernels.md.  Returns the exit status."""
    arguments = _arguments()
    labels = arguments.kernels or [*by_default(), HERE]
    failed = any(row.result != PASSED for row in _examine_all(labels, arguments))
    if not (arguments.run or any(getattr(arguments, name) for name in _WAYS if name != ONCE)):
        columns = [support.column(label, arguments.once) for label in labels]
        if any(columns):
            sys.stdout.write("\n" + support.table(columns))
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kernels",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="kernels to test")
    for name, way in _WAYS.items():
        parser.add_argument(f"--{name}", action="store_true", help=way.help)
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="for each guest; default 1200, with --faults, --imports or --modes 1500",
    )
    parser.add_argument(
        "--run", metavar="COMMAND", help="only run a shell command in a guest, and print its output"
    )
    arguments = parser.parse_args()
    unknown = [label for label in arguments.kernels if label not in (*LABELS, HERE)]
    if unknown:
        parser.error(f"no such kernel: {', '.join(unknown)}; there are {', '.join([*LABELS, HERE])}")
    if arguments.timeout is None:
        # 80 to 150 s on an idle host, and 50 s for the recording with --cgroup; at a load of 13 it was 750 s.
        # The deadlines of waits.py end a guest that hangs in a wait sooner.
        long = arguments.faults or arguments.imports or arguments.modes
        arguments.timeout = 1500 if long else 1200
    if arguments.timeout <= 0:
        parser.error("--timeout must be more than 0 seconds")
    return arguments


def _examine_all(labels: list[str], arguments: argparse.Namespace) -> list[Row]:
    """The rows of all kernels, printed as soon as one is done; the running kernel comes last, by itself."""
    guests = [label for label in labels if label != HERE]
    pool = ThreadPoolExecutor(_KERNELS_AT_ONCE)
    try:
        rows = [
            row for each in pool.map(lambda label: _examine_one(label, arguments), guests) for row in each
        ]
    finally:  # after Ctrl-C no further kernel is begun
        pool.shutdown(cancel_futures=True)
    return rows + [row for label in labels if label == HERE for row in _examine_one(label, arguments)]


def _examine_one(label: str, arguments: argparse.Namespace) -> list[Row]:
    begun = time.monotonic()
    try:
        rows = _rows(label, arguments)
    except LabError as error:
        rows = [Row(label, "lab", str(error))]
    result = PASSED if all(row.result == PASSED for row in rows) else "FAILED"
    rows.append(Row(label, "all", result, time.monotonic() - begun))
    say(*rows)
    return rows


def _rows(label: str, arguments: argparse.Namespace) -> list[Row]:
    begun = time.monotonic()
    if label == HERE:
        return examine_here()
    kernel = obtain(label)
    rows = [Row(label, "fetch", PASSED, time.monotonic() - begun)]
    if arguments.run:
        outcome = guest.run(kernel, ["sh", "-c", arguments.run], folder(label, "run"), arguments.timeout)
        detail = outcome.output + outcome.state
        return [*rows, Row(label, "run", outcome.failure or PASSED, outcome.seconds, detail)]
    return rows + _experiment(arguments)(kernel, arguments.timeout)


def _experiment(arguments: argparse.Namespace) -> Callable[[Kernel, float], list[Row]]:
    return next((way.does for name, way in _WAYS.items() if getattr(arguments, name)), examine)


if __name__ == "__main__":
    sys.exit(main())
