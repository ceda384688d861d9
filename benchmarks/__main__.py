# SPDX-License-Identifier: Apache-2.0
"""Run benchmarks and print Markdown tables; without NAME, run those that include other tracers."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from datetime import UTC, datetime

from benchmarks import (
    billion,
    fleet,
    forks,
    long_run,
    machine,
    overhead,
    pages,
    parts,
    reading,
    scaling,
    slab_check,
    slow_leak,
    soak,
    startup,
    throughput,
    trust,
    twins,
    whole,
)

BESIDE_PEERS = {
    "whole": whole.main,
    "overhead": overhead.main,
    "throughput": throughput.main,
    "reading": reading.main,
}
BY_NAME = {
    "parts": parts.main,
    "pages": pages.main,
    "startup": startup.main,
    "slow-leak": slow_leak.main,
    "trust": trust.main,
    "twins": twins.main,
    "scaling": scaling.main,
    "slab-check": slab_check.main,
    "soak": soak.main,
    "forks": forks.main,
    "long-run": long_run.main,
    "billion": billion.main,
    "fleet": fleet.main,
}


def main() -> int:
    """Parse the command line and run the benchmarks; exit status 1 if not root."""
    every = BESIDE_PEERS | BY_NAME
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"one of {', '.join(every)}; default: {', '.join(BESIDE_PEERS)}",
    )
    parser.add_argument("--quick", action="store_true", help="a few short rounds, to see that it works")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(every)
    if unknown:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}")
    if os.geteuid() != 0:
        machine.note("the benchmarks trace the kernel and need root: sudo .venv/bin/python -m benchmarks")
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` blocks clean up
    machine.mount_tracefs()
    print(f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on: {machine.describe()}\n")
    for name in arguments.names or BESIDE_PEERS:
        every[name](arguments.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
