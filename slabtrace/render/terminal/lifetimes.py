# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace lifetimes`: a histogram of all lifetimes, and a table of them by call site."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import Column, name_column, write_table
from slabtrace.units import count, duration, percent

if TYPE_CHECKING:
    import pandas as pd

BAR = 40  # cells of the longest
LEVELS = "▁▂▃▄▅▆▇█"
SHAPE = (10, 34)  # octaves of the small histograms: 1 us to 17 s; their ends also count what lies beyond

COLUMNS = (
    Column("Hit"),
    Column("p50"),
    Column("p90"),
    Column("p99"),
    Column("Temporary"),
    Column("Survivors"),
    Column("1us 1ms 1s", right=False),
)
NAMES = {"call_site": "Callsite", "stack": "Callsite", "module": "Module", "cache": "Cache"}


def write_lifetimes(out: TextIO, every: pd.DataFrame, shown: pd.DataFrame, by: str) -> None:
    """Write the histogram of `every` row of analysis' lifetime_table(), and `shown` of them as a table."""
    if every.empty:
        out.write("nothing was allocated\n")
        return
    _write_histogram(out, every)
    names = [name_column("Cache"), *([] if by == "cache" else [name_column(NAMES[by])])]
    rows = ([*_names(row, by), *_cells(row)] for row in shown.to_dict("records"))
    write_table(out, (*names, *COLUMNS), rows)


def _write_histogram(out: TextIO, every: pd.DataFrame) -> None:
    total: Counter[int] = Counter()
    for row in every["histogram"]:
        total.update({begin: objects for begin, _, objects in row})
    survivors, most = int(every["survivors"].sum()), max(total.values(), default=1)
    octaves = range(min(total, default=1).bit_length(), max(total, default=0).bit_length() + 1)
    for octave in octaves if total else ():
        number = total[1 << (octave - 1)]
        bar = "█" * round(BAR * number / most) or ("▏" if number else "")
        out.write(f"{duration(1 << (octave - 1)):>10} {count(number):>13}  {bar}\n")
    out.write(f"{'survivors':>10} {count(survivors):>13}\n\n")


def _names(row: dict[Any, Any], by: str) -> list[str]:
    if by == "cache":
        return [row["cache"]]
    return [row["cache"], (row["module"] or "(kernel)") if by == "module" else row["symbol"]]


def _cells(row: dict[Any, Any]) -> list[str]:
    return [
        count(row["allocated"]),
        *(duration(row[name]) for name in ("p50_ns", "p90_ns", "p99_ns")),
        percent(row["temporary"] / max(row["allocated"], 1)),
        count(row["survivors"]),
        _shape(row["histogram"]),
    ]


def _shape(histogram: list[tuple[int, int, int]]) -> str:
    """The histogram in twelve cells, two octaves each; its highest cell is full."""
    first, last = SHAPE
    cells = [0] * ((last - first) // 2)
    for begin, _, objects in histogram:
        octave = min(max(begin.bit_length() - 1, first), last - 1)
        cells[(octave - first) // 2] += objects
    most = max(cells, default=0)
    return (
        "".join(LEVELS[(number * 7 + most - 1) // most] if number else " " for number in cells)
        if most
        else ""
    )
