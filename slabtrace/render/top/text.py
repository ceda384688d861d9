# SPDX-License-Identifier: Apache-2.0
"""A snapshot of `slabtrace top` as text: its head line and its rows, for the screen and for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import Column, name_column, write_table
from slabtrace.units import count, plural, rate, size

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.live import LiveTables, LiveTrace

# The sort keys and the columns of analysis.live they stand for; largest first.
SORT_KEYS = {
    "bytes": "bytes",
    "outstanding": "outstanding",
    "allocs": "allocs_per_s",
    "frees": "frees_per_s",
    "growth": "growth_per_s",
}
COLUMNS = (
    Column("outstanding"),
    Column("bytes"),
    Column("allocs"),
    Column("frees"),
    Column("growth"),
    Column("", right=False),
    name_column("cache"),
)
STEADY = "grows"
UNLIMITED = 1_000_000  # cells


def columns(by: str) -> tuple[Column, ...]:
    """The columns of a table by "cache" or "call_site"."""
    return (*COLUMNS, name_column("call site")) if by == "call_site" else COLUMNS


def cells(row: Mapping[Any, Any], tables: LiveTables, by: str) -> list[str]:
    """The cells of a row of analysis.live, unescaped."""
    growth = row["growth_per_s"]
    texts = [
        count(row["outstanding"]),
        size(row["bytes"]),
        rate(row["allocs_per_s"]),
        rate(row["frees_per_s"]),
        f"{'+' if growth > 0 else ''}{size(growth)}/s" if growth else "0",
        STEADY if row["steady"] else "",
        tables.cache_name(int(row["cache"])),
    ]
    return [*texts, tables.symbol(int(row["call_site"]))] if by == "call_site" else texts


def chosen(
    frame: pd.DataFrame, tables: LiveTables, by: str, sort: str, words: str = ""
) -> list[tuple[dict[Any, Any], list[str]]]:
    """(row, its cells) of `frame`, sorted by `sort` (a key of SORT_KEYS), whose name contains `words`."""
    ordered = frame.sort_values(SORT_KEYS[sort], ascending=False, kind="stable")
    rows = [(row, cells(row, tables, by)) for row in ordered.to_dict("records")]
    return [each for each in rows if words.lower() in " ".join(each[1][len(COLUMNS) - 1 :]).lower()]


def head(frame: pd.DataFrame, seconds: float, live: LiveTrace) -> str:
    """The line above the table `frame`, `seconds` after the start."""
    totals = live.manifest.totals
    explained = live.second_frees - live.mismatches
    skipped = max(totals.recursion_missed - totals.recovered, 0)
    parts = [
        f"{seconds:.0f} s",
        f"{rate(frame['allocs_per_s'].sum())} allocs",
        f"{rate(frame['frees_per_s'].sum())} frees",
        f"{count(frame['outstanding'].sum())} outstanding, {size(int(frame['bytes'].sum()))}",
        f"{int(frame['steady'].sum())} growing steadily",
        plural(live.mismatches, "double free"),
        f"{plural(totals.dropped + totals.late, 'event')} lost",
        *([f"up to {count(skipped)} skipped"] if skipped else []),
        *([f"{plural(explained, 'second free')} explained by missed allocations"] if explained else []),
    ]
    return "; ".join(parts)


def write_moment(out: TextIO, line: str, rows: Sequence[Sequence[str]], by: str) -> None:
    """Write one snapshot as plain text; names are cut only where a terminal limits the width."""
    out.write(f"{line}\n")
    write_table(out, columns(by), rows, None if out.isatty() else UNLIMITED)
    out.write("\n")
