# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace diff`: a paragraph for each group that differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import escape, write_paragraph
from slabtrace.units import count, plural, size

if TYPE_CHECKING:
    import pandas as pd

FRAMES_SHOWN = 12


def write_diff(out: TextIO, groups: pd.DataFrame) -> None:
    """Write `groups` (rows of analysis' diff())."""
    for number, row in enumerate(groups.to_dict("records")):
        out.write("\n" if number else "")
        _write_group(out, row)
    if groups.empty:
        out.write("no significant difference\n")


def write_found(out: TextIO, chance: int, found: int) -> None:
    """Write two totals, those that are not 0.

    `chance`: groups whose difference chance explains, not shown; `found`: groups that make the exit code 1.
    """
    if chance:
        write_paragraph(
            out, f"{plural(chance, 'group')} with a difference that chance explains (--all shows them)"
        )
    if found:
        write_paragraph(out, f"found: {plural(found, 'group')} new or grown, suspect or retained")


def _write_group(out: TextIO, row: dict[Any, Any]) -> None:
    sign = "" if row["significant"] else " (not significant)"
    held = f"{count(row['outstanding_old'])} -> {count(row['outstanding_new'])} objects"
    sizes = f"{size(row['bytes_old'])} -> {size(row['bytes_new'])}"
    own = ", slabtrace itself" if row["own"] else ""
    write_paragraph(
        out, f"{row['state']}{sign}: {row['cache']}: {held}, {sizes}; {row['class']}{own}; p = {row['p']:.2g}"
    )
    if row["state"] in ("new", "grown"):
        write_paragraph(out, f"  {row['why']}")
    out.writelines(f"    {escape(frame)}\n" for frame in list(row["stack"])[:FRAMES_SHOWN])
