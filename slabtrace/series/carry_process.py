# SPDX-License-Identifier: Apache-2.0
"""`python -m slabtrace.series.carry_process ENDED FOLLOWING`: carry, in a process of its own.

Pairing a part takes a share of the time that its recording took.  A thread of the recorder would hold the
interpreter's lock when the rings have to be drained; a process at ordinary priority does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from slabtrace.errors import CANNOT_TRACE, SlabtraceError, TraceError
from slabtrace.trace.writing.writer import WriteError


def carry_in_process(ended: Path, following: Path) -> None:
    """carry(ended, following), in a process that Ctrl-C in the terminal does not reach.  Raises as that."""
    argv = [sys.executable, "-P", "-m", __name__, str(ended), str(following)]
    failed = f"what {ended} leaves cannot be carried into the next part"
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True
        )
    except OSError as error:  # no process can be started
        raise TraceError(f"{failed}: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["the process was killed"])[-1]
        raise (WriteError if done.returncode == CANNOT_TRACE else TraceError)(f"{failed}: {reason}")


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
