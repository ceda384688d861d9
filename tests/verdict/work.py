# SPDX-License-Identifier: Apache-2.0
"""One load in a process of its own; the harness speaks to it through stdin and stdout.

    python -m tests.verdict.work NAME MOST-SECONDS

It prints "ready" when it is set up, steps from "go" until the next line, prints what it left behind and when
as one JSON object, and gives everything back at the line after that.  Should stdin close, a SIGTERM come or
the time be over, it gives everything back, too.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

from tests.verdict.catalogue import NAMED
from tests.verdict.loads.load import Load


class TimeIsOverError(Exception):
    """The time is over, or SIGTERM came."""


def _over(*_: object) -> None:
    raise TimeIsOverError


def main(name: str, most_seconds: float) -> None:
    """Set up, step, report, give back."""
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _over)
    signal.setitimer(signal.ITIMER_REAL, most_seconds)
    load = NAMED[name].load()
    try:
        load.setup()
        _say("ready")
        if sys.stdin.readline():
            left = _steps(load)
            _say(json.dumps({"pids": [os.getpid(), *load.pids()], "left": left}))
            sys.stdin.readline()
    except TimeIsOverError:
        pass
    finally:
        load.close()


def _steps(load: Load) -> list[tuple[int, int, int]]:
    """Step until a line comes; (begin, end, owners left) of each step that left any, CLOCK_MONOTONIC ns."""
    left, begin, steps = [], time.monotonic(), 0
    while not select.select([sys.stdin], [], [], max(0.0, begin + steps / load.rate - time.monotonic()))[0]:
        before = time.monotonic_ns()
        owners = load.step(time.monotonic() - begin)
        steps += 1
        if owners:
            left.append((before, time.monotonic_ns(), owners))
    sys.stdin.readline()
    return left


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
