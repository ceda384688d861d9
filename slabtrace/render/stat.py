# SPDX-License-Identifier: Apache-2.0
"""The report of `slabtrace stat`: the totals, and tables under perf kmem's column names.

Total_alloc/Per   bytes the allocator handed out, and per allocation
Total_req/Per     bytes that were asked for, and per allocation
Hit               allocations
Ping-pong         objects freed on another CPU than the one that allocated them
Frag              share of the bytes handed out that nobody asked for: 1 - req / alloc
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.text import Column, name_column, write_fields, write_table
from slabtrace.render.units import count, duration, percent, plural, rate, size

if TYPE_CHECKING:
    import pandas as pd

MEASURES = (
    Column("Total_alloc/Per"),
    Column("Total_req/Per"),
    Column("Hit"),
    Column("Ping-pong"),
    Column("Frag"),
)


def write_summary(out: TextIO, caches: pd.DataFrame, completeness: Any, length_ns: int) -> None:
    """Write the totals over the whole trace.  `caches`: rows of analysis' stat() by cache."""
    seconds = max(length_ns, 1) / 1e9
    alloc, req = int(caches["bytes_alloc"].sum()), int(caches["bytes_req"].sum())
    write_fields(
        out,
        [
            ("time", duration(length_ns)),
            ("allocations", f"{count(completeness.allocs)} ({rate(completeness.allocs / seconds)})"),
            ("frees", f"{count(completeness.frees)} ({rate(completeness.frees / seconds)})"),
            ("failed", f"{plural(completeness.failed_allocs, 'allocation')} returned NULL"),
            ("outstanding", plural(int(caches["outstanding"].sum()), "object")),
            ("handed out", f"{size(alloc)}, of which {size(req)} were asked for"),
            ("wasted", f"{size(alloc - req)} ({percent(1 - req / alloc if alloc else None)})"),
            ("in", plural(len(caches), "slab cache")),
        ],
    )
    out.write("\n")


def write_stat(out: TextIO, rows: pd.DataFrame, hidden: int, by: str) -> None:
    """Write `rows` of analysis' stat(), already sorted; `by`: "call_site" or "cache".

    `hidden`: how many further rows the limit cut off.
    """
    name = "symbol" if by == "call_site" else "cache"
    columns = (name_column("Callsite" if by == "call_site" else "Cache"), *MEASURES)
    write_table(out, columns, [_cells(row, name) for row in rows.to_dict("records")])
    if hidden:
        out.write(f"… and {plural(hidden, 'row')} more (-l 0 shows all)\n")


def _cells(row: dict[Any, Any], name: str) -> list[str]:
    hits = max(row["hits"], 1)  # a row of frees alone has none
    return [
        row[name],
        f"{size(row['bytes_alloc'])}/{row['bytes_alloc'] // hits}",
        f"{size(row['bytes_req'])}/{row['bytes_req'] // hits}",
        count(row["hits"]),
        count(row["pingpong"]),
        percent(row["frag"]),
    ]
