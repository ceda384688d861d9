# SPDX-License-Identifier: Apache-2.0
"""`python -m slabtrace.watching.launch COMMAND...`: run a command without privileges, at the lowest priority.

The service starts so what analyses traces, and the user's own commands: they get no capability, and none
later (no_new_privs), so setuid programs do not help them.
"""

from __future__ import annotations

import os
import sys

from slabtrace.capture.process.privileges import give_up
from slabtrace.errors import SlabtraceError

LOWEST = 19
CANNOT_RUN = 127  # as a shell reports it


def main(argv: list[str]) -> int:
    """Become the command; returns only if that fails."""
    try:
        give_up()
        os.setpriority(os.PRIO_PROCESS, 0, LOWEST)
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is what is wanted
    except (OSError, SlabtraceError) as error:
        sys.stderr.write(f"slabtrace: {argv[0]!a} cannot be run: {error}\n")
    return CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
