# SPDX-License-Identifier: Apache-2.0
"""Record all kinds at once, each in a process of its own: every second one leaks, at a rate of its own.

    sudo python -m tests.verdict.ordinary [--seconds 40] [--keep DIR]

Then once more, those that leaked flat and the others leaking.  Prints a row for each kind and way: the
suspect that has its objects, with the rate beside the truth.  A thread, a mapping or a child belongs to a
process, which gives it back when it ends, so it may be growing.  Status 1: a leak is not found, or a flat
load is called one.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import slabtrace
from tests.verdict.ordinary import kinds

FIRST_S, MORE_S = 0.25, 0.011  # between two objects of the first kind, and so much more for each other one
BEFORE_S = 5.0  # what a process needs for itself comes before the recording
OF_PROCESSES = ("thread", "mapping", "network_namespace")  # of a child that lives; may be growing
STACKS = "__get_vm_area_node"  # of tasks: those of a flat load are used again by tasks that stay


class Load(NamedTuple):
    """One kind in one recording."""

    kind: str
    gap_s: float
    leaks: bool

    @property
    def comm(self) -> str:
        """The name of the process, at most 15 bytes."""
        return f"{'l' if self.leaks else 'f'}-{self.kind}"[:15]


def work(load: Load) -> None:
    """Make objects until SIGTERM, then give all back."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    make, number = kinds.KINDS[load.kind], 0
    kinds.named(load.comm)
    with ExitStack() as kept:
        kept.callback(kinds.remove_folders)
        while True:
            give_back = make(number)
            if load.leaks:
                kept.callback(_quietly, give_back)
            else:
                give_back()
            number += 1
            time.sleep(load.gap_s)


def _quietly(give_back: kinds.GiveBack) -> None:
    with suppress(OSError):
        give_back()


@contextmanager
def running(loads: list[Load]) -> Iterator[None]:
    """The loads, each in a process."""
    argv = [sys.executable, "-m", __spec__.parent, "--work"]
    started = [
        subprocess.Popen([*argv, each.kind, str(each.gap_s), "leaks" if each.leaks else "flat"])
        for each in loads
    ]
    try:
        yield
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait()


def judged(load: Load, findings: list[dict[Any, Any]]) -> tuple[bool, str]:
    """(whether it is right, what was found)."""
    mine = [each for each in findings if load.comm in each["comms"]]
    suspects = [each for each in mine if each["class"] == "suspect"]
    if not load.leaks:  # the first comm has most of the objects
        own = [str(each["symbol"]) for each in suspects if each["comms"][0] == load.comm]
        own = [each for each in own if not each.startswith(STACKS)]
        return not own, ", ".join(own)
    if not suspects and load.kind in OF_PROCESSES:
        suspects = [each for each in mine if each["class"] == "growing"]
    if not suspects:
        return False, ", ".join(sorted({each["class"] for each in mine}))
    first = suspects[0]
    every_ms = 1000 / first["rate_per_s"] if first["rate_per_s"] else 0.0
    return True, f"{first['class']} {first['rank']}, {first['cache']}, one every {every_ms:.0f} ms"


def record(loads: list[Load], seconds: float, trace: Path) -> bool:
    """Record the loads, and print what was found of each; whether all of it is right."""
    with running(loads):
        time.sleep(BEFORE_S)
        argv = [sys.executable, "-m", "slabtrace", "record", "-q", "-d", f"{seconds:g}s", "-o", str(trace)]
        subprocess.run(argv, check=True)
    findings = slabtrace.open(trace).findings().to_dict("records")
    rows = [(load, *judged(load, findings)) for load in loads]
    for load, right, found in rows:
        truth = f"one every {1000 * load.gap_s:.0f} ms" if load.leaks else "flat"
        print(f"{'ok' if right else 'WRONG':6}{load.kind:22}{truth:20}{found}", flush=True)
    return all(right for _, right, _ in rows)


def main() -> int:
    """Two recordings; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the traces here")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        kind, gap_s, how = arguments.work
        work(Load(kind, float(gap_s), how == "leaks"))
    right = True
    with tempfile.TemporaryDirectory() as folder:
        for half in range(2):
            loads = [Load(kind, FIRST_S + MORE_S * at, at % 2 == half) for at, kind in enumerate(kinds.KINDS)]
            right &= record(
                loads, arguments.seconds, (arguments.keep or Path(folder)) / f"half-{half + 1}.slab"
            )
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
