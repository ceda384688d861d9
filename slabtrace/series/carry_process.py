# SPDX-License-Identifier: Apache-2.0
"""`python -m slabtrace.series.carry_process ENDED FOLLOWING`: carry, in a process of its own.

Pairing a part takes a share of the time that its recording took.  A thread of the recorder would hold the
interpreter's lock when the rings have to be drained; a process at ordinary priority does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from slabtrace.errors import CANNOT_TRACE, SlabtraceError, TraceError
from slabtrace.trace.writing.writer import WriteError


def carry_in_process(ended: Path, following: Path, started: Callable[[int], None] | None = None) -> None:
    """carry(ended, following), in a process that Ctrl-C in the terminal does not reach.  Raises as that.

    `started`: called with the pid of the process.
    """
    argv = [sys.executable, "-P", "-m", __name__, str(ended), str(following)]
    failed = f"what {ended} leaves cannot be carried into the next part"
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:  # no process can be started
        raise TraceError(f"{failed}: {error}") from error
    if started is not None:
        started(process.pid)
    _, said = process.communicate()
    if process.returncode:
        reason = (said.strip().splitlines() or ["the process was killed"])[-1]
        raise (WriteError if process.returncode == CANNOT_TRACE else TraceError)(f"{failed}: {reason}")


def main(argv: list[str]) -> int:
    """Carry; the exit status is that of the error."""
    from slabtrace.series.carry import carry

    os.setpriority(os.PRIO_PROCESS, 0, 0)  # the recorder's own, which is inherited, is higher
    try:
        carry(*map(Path, argv))
    except SlabtraceError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
