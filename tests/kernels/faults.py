# SPDX-License-Identifier: Apache-2.0
"""Faults that need a kernel of their own: little memory, few privileges, a clock that jumps, kernel lockdown.

    python -m tests.kernels.faults RESULTS PROGRAM      in a guest

Every step must end with status 0.  The last two write recordings; the host checks their counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.kernels.inside import SLABTRACE, step

HERE = Path(__file__).parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
LATER, EARLIER = 2_000_000_000, 1_000_000_000  # seconds since 1970: May 2033, September 2001
V2 = "mount -t cgroup2 none /sys/fs/cgroup && echo +memory >/sys/fs/cgroup/cgroup.subtree_control"


def main(results: Path, program: str) -> None:
    """Run the steps.  `program`: the shell command that leaves messages and pipes (tests/live/leaver.c)."""
    step(results, "cgroup v2", ["sh", "-c", V2])
    step(results, "memory", [sys.executable, "-m", "tests.faults", "memory", "throttled", "limited"])
    chosen = ["-k", "ordinary_user or want_of"]
    step(
        results,
        "privileges",
        ["env", "SLABTRACE_PATIENCE_S=300", *PYTEST, "tests/live/test_privileges.py", *chosen],
    )
    jumps = f"date -s @{LATER} && {program} && date -s @{EARLIER}"
    record = [*SLABTRACE, "record", "--stacks", "all", "-o", str(results / "clock.slab")]
    step(results, "clock", [*record, "--", "sh", "-c", jumps])
    lockdown = ["sh", str(HERE / "lockdown.sh"), sys.executable, str(results), program]
    step(results, "lockdown", lockdown)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
