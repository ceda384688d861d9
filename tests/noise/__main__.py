# SPDX-License-Identifier: Apache-2.0
"""The command line: noise on these CPUs until stdin closes, or a signal; it leaves nothing behind.

    python -m tests.noise --cpus all --steps 2500

A line "ready" on stdout says that every worker works.  If a worker ends early, so does this, with status 1.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

STEPS = 2500  # a second on each CPU: on two CPUs some 100,000 slab events
_WORKER = Path(__file__).with_name("worker.c")
_IPC_RMID = 0


def main() -> int:
    """Make noise; 1 if a worker failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.noise", description=__doc__)
    parser.add_argument("--cpus", default="all", help="all, or numbers: 0,2")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="a second on each CPU (default: %(default)s)"
    )
    arguments = parser.parse_args()
    ours, theirs = os.pipe()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(theirs, b"x"))
    usable = sorted(os.sched_getaffinity(0))
    cpus = usable if arguments.cpus == "all" else [int(cpu) for cpu in arguments.cpus.split(",")]
    with tempfile.TemporaryDirectory(prefix="slabtrace-noise-", ignore_cleanup_errors=True) as folder:
        worker = Path(folder) / "worker"
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", worker, _WORKER], check=True)
        return _run([[str(worker), str(cpu), str(arguments.steps), folder] for cpu in cpus], ours)


def _run(commands: list[list[str]], signalled: int) -> int:
    """Until `signalled` is readable, stdin closes, or a worker ends."""
    workers = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for argv in commands]
    queues: list[int] = []
    try:
        for worker in workers:
            assert worker.stdout is not None
            queues += map(int, worker.stdout.readline().split())
        Path(commands[0][0]).unlink()  # so that the last worker can remove the folder, should we be killed
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        return _wait(workers, signalled)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
        for queue in queues:  # those of a worker that was killed
            ctypes.CDLL(None).msgctl(queue, _IPC_RMID, None)


def _wait(workers: list[subprocess.Popen[str]], signalled: int) -> int:
    """Wait until stdin closes (0), a signal comes (0) or a worker has ended (1)."""
    ends = {worker.stdout: worker for worker in workers}  # readable when the worker ends
    while True:
        ready, _, _ = select.select([sys.stdin, signalled, *ends], [], [])
        if signalled in ready or (sys.stdin in ready and not os.read(0, 4096)):
            return 0
        if ended := [ends[each] for each in ready if each in ends]:
            sys.stderr.write(f"tests.noise: a worker ended: {ended[0].args}\n")
            return 1


if __name__ == "__main__":
    sys.exit(main())
