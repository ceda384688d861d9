# SPDX-License-Identifier: Apache-2.0
"""trace.dat of trace-cmd and KernelShark, through `trace-cmd report`: addresses of objects, times in ns.

A trace.dat has the kernel's symbols, so call sites and stacks have names wherever it is read.  Raw fields
(`report -R`) would have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slabtrace.importing.formats.buffer_stats import lose_counted
from slabtrace.importing.formats.programs import answer, required, running
from slabtrace.importing.formats.sources import Readable
from slabtrace.importing.records import Facts, Lost
from slabtrace.importing.text.markers import MOST_CPUS

_RELEASE = re.compile(r"^\s*Linux \S+ (\d+\.\d+\S*)", re.MULTILINE)
_CLOCK = re.compile(r"\[(local|global|counter|uptime|perf|mono|mono_raw|boot|tai|x86-tsc)\]")
_CPU = re.compile(r"^CPU: (\d{1,4})\s*$", re.MULTILINE)
_LEFT = re.compile(r"^entries: (\d{1,18})\s*$", re.MULTILINE)


@contextmanager
def trace_cmd_text(path: Path, facts: Facts) -> Iterator[Readable]:
    """The text of a trace.dat.  Raises UsageError without trace-cmd, TraceError if it cannot read it."""
    program = required("trace-cmd", path)
    facts.tool = "trace-cmd"
    release = _RELEASE.search(answer([program, "report", "--uname", "-i", str(path)]))
    clock = _CLOCK.search(answer([program, "dump", "--options", "-i", str(path)]))
    facts.release, facts.clock = release[1] if release else "", clock[1] if clock else ""
    with running([program, "report", "-t", "-i", str(path)], path) as output:
        yield output
    facts.losses_told = True
    add_stats(answer([program, "report", "--stat", "-i", str(path)]), facts)


def add_stats(said: str, facts: Facts) -> None:
    """Note what the statistics of the buffers count beyond the DROPPED lines, and what was left in them."""
    parts = _CPU.split(said)[1:]
    for cpu, stats in zip(parts[::2], parts[1::2], strict=True):
        if int(cpu) < MOST_CPUS:
            lose_counted(stats, int(cpu), facts)
            left = _LEFT.search(stats)
            if left and int(left[1]):
                facts.lose(Lost(0, (1 << 62) - 1, int(cpu), int(left[1]), f"left in the buffer: {left[1]}"))
