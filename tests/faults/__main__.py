# SPDX-License-Identifier: Apache-2.0
"""Cause one kind of fault on this machine, and check the recorder, its trace and the kernel afterwards."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Parse the command line and cause the fault; exit code 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    faults = parser.add_subparsers(dest="fault", required=True)
    kill = faults.add_parser("kill", help="kill a recorder at random moments (SIGKILL)")
    kill.add_argument("--times", type=int, default=100)
    kill.add_argument("--seed", type=int, default=1)
    memory = faults.add_parser(
        "memory", help="limit the memory of a recorder until it continues or is killed"
    )
    memory.add_argument("how", nargs="*", default=["limited", "killed"], metavar="limited|killed|throttled")
    faults.add_parser("cpu", help="take CPU 1 offline for 1.5 s while recording")
    stopped = faults.add_parser(
        "stop", help="stop a recorder under load, and compare its counts with perf stat"
    )
    stopped.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    from tests.faults import pressure
    from tests.faults.kill import kill_often
    from tests.faults.stopped import stop

    if arguments.fault == "kill":
        return 1 if kill_often(arguments.times, arguments.seed) else 0
    if arguments.fault == "cpu":
        wrong = pressure.cpu()
    elif arguments.fault == "stop":
        wrong = stop(arguments.seconds)
    else:
        wrong = [line for how in arguments.how for line in pressure.memory(how)]
    print(*wrong or ["nothing wrong"], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
