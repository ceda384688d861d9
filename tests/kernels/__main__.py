# SPDX-License-Identifier: Apache-2.0
"""python -m tests.kernels [KERNEL…]: the lab's one command.  Exits with 1 if anything failed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from tests.kernels import guest, support
from tests.kernels.experiment import (
    HERE,
    PASSED,
    Row,
    examine,
    examine_at_once,
    examine_faults,
    examine_here,
    examine_survivors,
    folder,
    say,
)
from tests.kernels.packages import SUITES, Kernel, LabError, obtain


def main() -> int:
    """Examine each kernel, row by row; then what they can, as docs/kernels.md shows it."""
    arguments = _arguments()
    failed, columns = False, []
    for label in arguments.kernels or [*SUITES, HERE]:
        begun = time.monotonic()
        try:
            rows = _try(label, arguments)
        except LabError as error:
            rows = [say(Row(label, "lab", str(error)))]
        say(Row(label, "all", PASSED, time.monotonic() - begun))
        failed |= any(row.result != PASSED for row in rows)
        if not (arguments.run or arguments.survivors or arguments.faults):
            columns.append(support.column(label, arguments.once))
    if any(columns):
        sys.stdout.write("\n" + support.table(columns))
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kernels", description=__doc__)
    parser.add_argument(
        "kernels",
        nargs="*",
        metavar="KERNEL",
        help=f"of {', '.join([*SUITES, HERE])} (the running one); default all",
    )
    parser.add_argument("--once", action="store_true", help="one guest each, without what may end it")
    parser.add_argument("--survivors", action="store_true", help='one guest each, in the mode "survivors"')
    parser.add_argument("--faults", action="store_true", help="one guest each, for faults that none survives")
    parser.add_argument(
        "--timeout", type=float, help="seconds that a guest may take (420; for --faults 1500)"
    )
    parser.add_argument("--run", metavar="COMMAND", help="run this shell command in the guest instead")
    arguments = parser.parse_args()
    unknown = [label for label in arguments.kernels if label not in (*SUITES, HERE)]
    if unknown:
        parser.error(f"no such kernel: {', '.join(unknown)}; there are {', '.join([*SUITES, HERE])}")
    if arguments.timeout is None:
        arguments.timeout = 1500 if arguments.faults else 420
    if arguments.timeout <= 0:
        parser.error("--timeout must be more than 0 seconds")
    return arguments


def _try(label: str, arguments: argparse.Namespace) -> list[Row]:
    begun = time.monotonic()
    if label == HERE:
        return [say(row) for row in examine_here()]
    kernel = obtain(label)
    rows = [say(Row(label, "fetch", PASSED, time.monotonic() - begun))]
    if arguments.run:
        outcome = guest.run(kernel, ["sh", "-c", arguments.run], folder(label, "run"), arguments.timeout)
        sys.stdout.write(outcome.output)
        return [*rows, say(Row(label, "run", outcome.failure or PASSED, outcome.seconds))]
    return rows + [say(row) for row in _experiment(arguments)(kernel, arguments.timeout)]


def _experiment(arguments: argparse.Namespace) -> Callable[[Kernel, float], list[Row]]:
    if arguments.survivors:
        return examine_survivors
    if arguments.faults:
        return examine_faults
    return examine_at_once if arguments.once else examine


if __name__ == "__main__":
    sys.exit(main())
