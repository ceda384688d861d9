# SPDX-License-Identifier: Apache-2.0
"""A known leak on this kernel: pipes that are left open, recorded by slabtrace and the others at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.imports.recorders import recorded, recording

LEAKED, CHURNED, EACH_S = 41, 3, 0.2
WORKLOAD = f"""
import os, time
kept = []
for n in range({LEAKED}):
    kept.append(os.pipe())
    for _ in range({CHURNED}):
        a, b = os.pipe(); os.close(a); os.close(b)
    time.sleep({EACH_S})
if not os.fork():  # holds the pipes after its parent has ended
    while os.path.exists(os.environ["HELD"]):
        time.sleep(0.2)
"""


def record(place: Path) -> dict[str, Path]:
    """Record the workload; the recordings by tool.  All outlive slabtrace's, so that it is inside of them."""
    held = place / "held"
    held.touch()
    try:
        with recording(place, 1):
            record_own = [sys.executable, "-m", "slabtrace", "record", "-o", place / "own.slab", "--force"]
            environment = {**os.environ, "HELD": str(held)}
            subprocess.run([*record_own, "--", sys.executable, "-c", WORKLOAD], check=True, env=environment)
            time.sleep(1)
    finally:
        held.unlink()  # last: until then the pipes stay open
    return recorded(place)
