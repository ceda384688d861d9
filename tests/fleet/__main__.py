# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.fleet [PART...]`: see tests/fleet/__init__.py."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.fleet import engines, fleets_of_digests, lab

PARTS = {
    "planted": fleets_of_digests.planted,
    "empty": fleets_of_digests.empty,
    "reduce": fleets_of_digests.reduce,
    "engines": engines.same_everywhere,
    "kills": engines.kills,
    "scheduler": engines.scheduler_killed,
    "lab": lab.three_kernels,
}


def main(names: list[str]) -> int:
    """Run the parts; the number of those that fell short."""
    short = 0
    for name in names or PARTS:
        with tempfile.TemporaryDirectory(prefix=f"slabtrace-{name}-") as folder:
            reached, words = PARTS[name](Path(folder))
        short += not reached
        print(f"{name:10}  {'reached' if reached else 'SHORT'}  {words}", flush=True)
    return short


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
