# SPDX-License-Identifier: Apache-2.0
"""What the objects of a finding are and who holds them, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.analysis.holders.classes import LOST, summary
from slabtrace.render.terminal.text import write_paragraph
from slabtrace.units import count

if TYPE_CHECKING:
    import pandas as pd


def write_inspected(out: TextIO, inspected: pd.DataFrame, finding: dict[Any, Any], searched: str) -> None:
    """Write what is known of the rows of `inspected` (Trace.inspected()) that are of `finding`."""
    mine = inspected[inspected["finding"] == finding["rank"]].to_dict("records")
    if not mine:
        return
    some = int(finding["outstanding"]) > len(mine)
    number = f"{count(len(mine))} of {count(finding['outstanding'])}" if some else count(len(mine))
    write_paragraph(out, f"  {number} objects were inspected at the end:")
    for line in summary(mine):
        write_paragraph(out, f"    {line}")
    if any(row["held"] == LOST for row in mine):
        write_paragraph(out, f"    searched: {searched}")
