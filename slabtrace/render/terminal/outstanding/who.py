# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace who`, and of who allocated a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import Column, name_column, write_table
from slabtrace.units import count, growth, size, unknown

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    Column("bytes"),
    Column("objects"),
    Column("growth/min"),
    Column("suspects"),
    Column("processes", right=False),
)
SUSPECTS_SHOWN = 3


def write_who(out: TextIO, rows: pd.DataFrame, by: str) -> None:
    """Write `rows` (columns.WHO) as one table."""
    if rows.empty:
        out.write("nothing outstanding\n")
        return
    pid = (Column("pid"),) if by == "process" else ()
    cells = ([*_numbers(row), *_names(row, by)] for row in rows.to_dict("records"))
    write_table(out, (*COLUMNS, *pid, name_column("command" if pid else by)), cells)


def _numbers(row: dict[Any, Any]) -> list[str]:
    suspects = [f"#{each}" for each in list(row["suspects"])[:SUSPECTS_SHOWN]]
    return [
        size(row["bytes_alloc"]),
        count(row["outstanding"]),
        growth(row["growth_bytes_per_s"]).removesuffix("/min") if row["growth_bytes_per_s"] > 0 else "-",
        ", ".join(suspects) or "-",
        f"{count(row['processes'])}{fate(row)}",
    ]


def fate(row: dict[Any, Any]) -> str:
    """Whether the processes lived at the end: ", alive", ", all gone", ", 3 alive"; "" if it is not known."""
    if unknown(row["alive"]):
        return ""
    alive, processes = int(row["alive"]), int(row["processes"])
    if not alive:
        return ", gone" if processes == 1 else ", all gone"
    return f", {count(alive)} alive" if alive < processes else ", alive"


def parent(row: dict[Any, Any]) -> str:
    """The program of the parent that most objects are of: "cron"; "" if it is not known."""
    first = next(iter(row["parents"]), "")
    return first.split(" ", 1)[0].rpartition("/")[2]


def _names(row: dict[Any, Any], by: str) -> list[str]:
    name = str(row["name"]) or "(not known)"
    of = f" (parent {parent(row)})" if parent(row) else ""
    if by == "process":
        return [name, f"{next(iter([*row['commands'], *row['comms']]), '?')}{of}"]
    return [f"{name}{of}" if by == "command" else name]
