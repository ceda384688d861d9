# SPDX-License-Identifier: Apache-2.0
"""A guest with 512 MiB: the default recording works there, is exact, and takes little of the kernel's memory.

python -m tests.kernels.small RESULTS PROGRAM      in a guest; PROGRAM leaves messages (tests/live/leaver.c)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.kernels.inside import SLABTRACE, step
from tests.kernels.leak_checks import Findings, check_messages, equal

MEMORY_MIB = 512
MOST = 80 << 20  # bytes of kernel memory, of the maps and in all
# Lines of /proc/meminfo that are the kernel's own memory and no cache of files.
KERNELS = ("SUnreclaim", "KernelStack", "PageTables", "VmallocUsed", "Percpu")
TIMES = ("before", "while", "after")


def main(results: Path, program: str) -> None:
    """Record the program in the default mode; /proc/meminfo is kept from before, while and after."""

    def keep(time: str) -> str:
        return f"cat /proc/meminfo >{results}/meminfo-{time}"

    step(results, "before", ["sh", "-c", keep("before")])
    record = [*SLABTRACE, "record", "-o", str(results / "trace.slab")]
    step(results, "record", [*record, "--", "sh", "-ec", f"{program}; {keep('while')}"])
    step(results, "after", ["sh", "-c", keep("after")])


def kernel_memory(folder: Path) -> dict[str, int]:
    """{"before": bytes of the kernel's own memory, "while": …, "after": …}."""
    return {each: _sum((folder / f"meminfo-{each}").read_text()) for each in TIMES}


def _sum(meminfo: str) -> int:
    rows = dict(line.split(":", 1) for line in meminfo.splitlines())
    return sum(int(rows[name].split()[0]) << 10 for name in KERNELS)


def checks(folder: Path) -> Iterator[tuple[str, Callable[[Findings], None]]]:
    """(name, check) of the recording in the guest's folder."""

    def check_memory(findings: Findings) -> None:
        used = kernel_memory(folder)
        grown = used["while"] - used["before"]
        equal(f"more than {MOST:,} bytes of maps", findings.trace.manifest.options["map_bytes"] > MOST, False)
        equal(f"kernel memory grew by {grown:,} bytes, more than {MOST:,}", grown > MOST, False)

    def check_drops(findings: Findings) -> None:
        equal("dropped", findings.trace.manifest.totals.dropped, 0)

    yield "messages", check_messages
    yield "kernel memory", check_memory
    yield "dropped", check_drops


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
