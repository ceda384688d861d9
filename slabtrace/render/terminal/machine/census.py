# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace census`: a table, who holds what of its largest rows, and what was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.analysis.holders.classes import searched_words
from slabtrace.render.terminal.text import Column, name_column, write_more, write_paragraph, write_table
from slabtrace.units import count, duration, size

if TYPE_CHECKING:
    import pandas as pd

_OTHERS = {"groups": "description", "caches": "cache", "cgroups": "cgroup"}
_UNCHARGED = "(charged to none)"


def write_census(
    out: TextIO, census: Mapping[str, Any], table: pd.DataFrame, name: str, most: int | None
) -> None:
    """Write the rows of `table` (analysis.holders.census.table) and the account of the census."""
    shown = table if most is None else table.head(most)
    rows = shown.to_dict("records")
    columns = [*_names(name), Column("objects"), Column("bytes")]
    columns += [Column("of slabs")] if name == "caches" else []
    write_table(out, columns, [_cells(row, name) for row in rows])
    write_more(out, len(table) - len(shown), "row")
    if name == "groups":
        _write_holders(out, rows)
    _write_account(out, census)


def write_changes(out: TextIO, table: pd.DataFrame, name: str, most: int | None) -> None:
    """Write what changed between two censuses (analysis.holders.census.changes)."""
    if table.empty:
        write_paragraph(out, "nothing changed")
        return
    shown = table if most is None else table.head(most)
    columns = [*_names(name), Column("objects"), Column("bytes"), Column("before")]
    rows = [
        [*_name_cells(row, name), f"{row['objects_change']:+,}", _signed(row["bytes_change"]),
         size(row["bytes_before"])]
        for row in shown.to_dict("records")
    ]  # fmt: skip
    write_table(out, columns, rows)
    write_more(out, len(table) - len(shown), "row")


def _signed(number: int) -> str:
    return f"{'-' if number < 0 else '+'}{size(abs(number))}"


def _names(name: str) -> list[Column]:
    columns = [name_column(_OTHERS[name])]
    return [*columns, name_column("cache")] if name == "groups" else columns


def _name_cells(row: Mapping[Any, Any], name: str) -> list[str]:
    if name == "caches":
        return [row["cache"]]
    if name == "cgroups":
        return [row["cgroup"] or _UNCHARGED]
    return [group_words(row["kind"], row["group"]), row["cache"]]


def group_words(kind: str, group: str) -> str:
    """What a group is called: kind and description."""
    return " ".join(each for each in (kind, group) if each) or "(not known)"


def _cells(row: Mapping[Any, Any], name: str) -> list[str]:
    cells = [*_name_cells(row, name), count(row["objects"]), size(row["bytes"])]
    return [*cells, size(row["slab_bytes"])] if name == "caches" else cells


def _write_holders(out: TextIO, rows: list[dict[Any, Any]]) -> None:
    held = [row for row in rows if row["holders"]]
    if held:
        out.write("\nheld by (of each of the largest, some objects were looked at):\n")
    for row in held:
        write_paragraph(out, f"  {group_words(row['kind'], row['group'])} ({row['cache']})")
        for words in row["holders"]:
            write_paragraph(out, f"    {words}")


def _write_account(out: TextIO, census: Mapping[str, Any]) -> None:
    totals = census.get("caches") or []
    objects, total = sum(row["objects"] for row in totals), sum(row["bytes"] for row in totals)
    seconds, cpu = float(census.get("seconds") or 0), float(census.get("cpu_seconds") or 0)
    out.write("\n")
    write_paragraph(
        out, f"{count(objects)} objects in use, {size(total)}; read in {duration(seconds * 1e9)}, "
        f"{duration(cpu * 1e9)} of CPU time"
    )  # fmt: skip
    if census.get("searched"):
        write_paragraph(out, f"searched for holders: {searched_words(census['searched'])}")
    if not census.get("whole"):
        write_paragraph(out, "the time was too short for everything: raise --within or --cpu")
    for note in census.get("notes") or []:
        write_paragraph(out, f"note: {note}")
    for row in (census.get("allocations") or [])[:10]:
        write_paragraph(out, f"  /proc/allocinfo: {size(row['bytes'])} by {row['function']} ({row['place']})")
