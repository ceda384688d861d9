# SPDX-License-Identifier: Apache-2.0
"""Folded stacks, one per line: `outermost;…;innermost;[cache] value`.

The input of flamegraph.pl and inferno (https://github.com/brendangregg/FlameGraph), and of anything
that reads lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from slabtrace.render.terminal.stack_tree import weighted

if TYPE_CHECKING:
    import pandas as pd


def write_folded(out: BinaryIO, totals: pd.DataFrame, what: str, unit: str) -> None:
    """Write `what` of `totals` (analysis' stack_totals()) in `unit`; stacks are in no particular order.

    Stacks that differ only in offsets are one line.
    """
    lines: dict[str, int] = {}
    for frames, value in weighted(totals, what, unit):
        line = ";".join(frame.replace(";", ":") for frame in frames)
        lines[line] = lines.get(line, 0) + value
    for line, value in lines.items():
        out.write(f"{line} {value}\n".encode())
