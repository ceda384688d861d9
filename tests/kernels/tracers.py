# SPDX-License-Identifier: Apache-2.0
"""Runs in a guest: slabtrace, perf, ftrace, trace-cmd and, if its modules are there, LTTng record one run.

    python -m tests.kernels.tracers RESULTS [MODULES]

MODULES is a folder with LTTng's kernel modules.  The recordings are made in memory, so that writing them does
not allocate what the share needs, and copied to RESULTS at the end, with this kernel's names of its functions
(fixtures/cut_imports.py).  The host imports them: perf script takes an emulated CPU a quarter of an hour.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.imports.recorders import TRACING, recording, said
from tests.kernels.inside import SLABTRACE, step

MEMORY = Path("/dev/shm/imports")
READY_S = 15  # on an emulated CPU


def main(results: Path, modules: Path | None) -> None:
    """Record the host's workload with all tools at once; the other tools outlive slabtrace's recording."""
    step(results, "tracefs", ["mount", "-t", "tracefs", "none", str(TRACING)])
    if modules is not None:
        step(results, "lttng modules", ["sh", "-ec", _INSTALL, "sh", str(modules)])
    MEMORY.mkdir()
    os.environ["HOME"] = str(MEMORY)
    with recording(MEMORY, READY_S) as tools:
        record = [*SLABTRACE, "record", "--stacks", "all", "--no-inspect", "-o", str(results / "trace.slab")]
        step(results, "record", [*record, "--grace", "2s", "--", "sh", "-e", str(results / "workload.sh")])
    for name, path in tools.items():  # one that ran and left nothing is a failed step, with what it said
        step(results, f"keep {name}", ["sh", "-c", _KEEP, "sh", str(path), str(said(path)), str(results)])
    step(results, "keep names", ["cp", "/proc/kallsyms", str(results)])


_KEEP = """
test -e "$1" || { echo "left no recording; it said: $(tail -c 300 "$2" | tr '\\n' ' ')" >&2; exit 1; }
cp -r "$1" "$3"
"""
_INSTALL = """
place=/lib/modules/$(uname -r)/extra
mkdir -p $place
cp $1/*.ko $place
cd $place/..
touch modules.order modules.builtin modules.builtin.modinfo  # lttng-sessiond wants an index of each
depmod -a
"""


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
