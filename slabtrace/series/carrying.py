# SPDX-License-Identifier: Apache-2.0
"""`python -m slabtrace.series.carrying ENDED FOLLOWING`: what one part of a series leaves to the next.

A process of its own, at ordinary priority: pairing a part takes some of its recording's time, and a thread
of the recorder's would hold the interpreter's lock when the rings have to be drained.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from slabtrace.errors import CANNOT_TRACE, SlabtraceError, TraceError


def carry_apart(ended: Path, following: Path) -> None:
    """series.carry.carry, in a process that Ctrl-C in the terminal does not reach.  Raises as that."""
    argv = [sys.executable, "-P", "-m", __name__, str(ended), str(following)]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True
        )
    except OSError as error:  # no process to be had
        raise TraceError(f"what {ended} leaves cannot be carried into the next part: {error}") from error
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        failed = f"what {ended} leaves cannot be carried into the next part: {told}"
        from slabtrace.trace.writing.writer import WriteError

        raise (WriteError if done.returncode == CANNOT_TRACE else TraceError)(failed)


def main(argv: list[str]) -> int:
    """Do it; the exit status is the error's."""
    from slabtrace.series.carry import carry

    os.setpriority(os.PRIO_PROCESS, 0, 0)  # not the recorder's, which is inherited
    try:
        carry(*map(Path, argv))
    except SlabtraceError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
