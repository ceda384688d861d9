# SPDX-License-Identifier: Apache-2.0
"""The report of `slabtrace diff`: a paragraph for each group that differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import escape, write_paragraph
from slabtrace.units import count, plural, size

if TYPE_CHECKING:
    import pandas as pd

FRAMES_SHOWN = 12


def write_diff(out: TextIO, groups: pd.DataFrame, hidden: int, chance: int, found: int) -> None:
    """Write `groups` (rows of analysis' diff()).

    `hidden`: rows that the limit cut off; `chance`: groups whose difference chance explains, not
    shown; `found`: how many count as found.
    """
    for row in groups.to_dict("records"):
        _write_group(out, row)
    if hidden:
        out.write(f"… and {plural(hidden, 'group')} more (-l 0 shows all)\n")
    if groups.empty:
        out.write("no difference that chance does not explain\n")
    if chance:
        write_paragraph(out, f"{plural(chance, 'group')} differ no more than by chance (--all shows them)")
    if found:
        write_paragraph(
            out, f"found: {plural(found, 'group')} new or grown, neither too young to judge nor reclaimable"
        )


def _write_group(out: TextIO, row: dict[Any, Any]) -> None:
    sign = "" if row["significant"] else " (by chance?)"
    held = f"{count(row['outstanding_old'])} -> {count(row['outstanding_new'])} objects"
    told = f"{size(row['bytes_old'])} -> {size(row['bytes_new'])}"
    mine = ", slabtrace itself" if row["own"] else ""
    write_paragraph(
        out, f"{row['state']}{sign}: {row['cache']}: {held}, {told}; {row['class']}{mine}; p = {row['p']:.2g}"
    )
    if row["state"] in ("new", "grown"):
        write_paragraph(out, f"  {row['why']}")
    out.writelines(f"    {escape(frame)}\n" for frame in list(row["stack"])[:FRAMES_SHOWN])
    out.write("\n")
