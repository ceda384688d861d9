# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace stat`: the totals, and tables under perf kmem's column names.

Total_alloc/Per   bytes the allocator handed out, and per allocation
Total_req/Per     bytes that were asked for, and per allocation
Hit               allocations (of a sample: estimated for all; other columns count the sample only)
Ping-pong         objects freed on another CPU than the one that allocated them
Frag              share of the bytes handed out that nobody asked for: 1 - req / alloc
Rate              allocations a second
Cross-node        objects freed on another NUMA node (shown where a machine has several)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.sampling import estimated
from slabtrace.render.terminal.text import Column, name_column, write_fields, write_paragraph, write_table
from slabtrace.units import count, duration, percent, plural, rate, size

if TYPE_CHECKING:
    import pandas as pd

MEASURES = (
    Column("Total_alloc/Per"),
    Column("Total_req/Per"),
    Column("Hit"),
    Column("Ping-pong"),
    Column("Frag"),
)

MORE = {"crossnode": "Cross-node", "atomic": "Atomic", "accounted": "Accounted", "zeroed": "Zeroed"}


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
            ("freed elsewhere", _elsewhere(caches)),
            ("gfp flags", f"of all allocations, {_gfp(caches)}"),
            ("slab caches", count(len(caches))),
        ],
    )
    out.write("\n")


def _elsewhere(caches: pd.DataFrame) -> str:
    hits = max(int(caches["hits"].sum()), 1)
    moved, crossed = int(caches["pingpong"].sum()), int(caches["crossnode"].sum())
    return f"{count(moved)} on another CPU ({percent(moved / hits)}), {count(crossed)} on another node"


def _gfp(caches: pd.DataFrame) -> str:
    hits = max(int(caches["hits"].sum()), 1)
    kinds = ((name, int(caches[name].sum()) / hits) for name in ("atomic", "accounted", "zeroed"))
    return ", ".join(f"{percent(share)} {name}" for name, share in kinds)


def write_stat(out: TextIO, rows: pd.DataFrame, by: str, gfp: bool = False, length_ns: int = 0) -> None:
    """Write `rows` of analysis' stat(), already sorted; `by`: "call_site" or "cache".

    `gfp`: add what the gfp flags say, and the rate over `length_ns`.
    """
    name = "symbol" if by == "call_site" else "cache"
    nodes = ["crossnode"] if rows["crossnode"].any() else []
    more = [*nodes, *(["atomic", "accounted", "zeroed"] if gfp else [])]
    columns = [name_column("Callsite" if by == "call_site" else "Cache"), *MEASURES]
    columns += [*(Column(MORE[each]) for each in more), *([Column("Rate")] if gfp else [])]
    cells = []
    for row in rows.to_dict("records"):
        speed = [rate(row["hits"] / max(length_ns, 1) * 1e9)] if gfp else []
        cells.append([row[name], *_cells(row), *(count(row[each]) for each in more), *speed])
    write_table(out, columns, cells)


def write_pointers(out: TextIO, rows: pd.DataFrame) -> None:
    """Write `rows` of analysis' by_pointer table."""
    cells = [[f"{row['ptr']:#x}", *_cells(row)] for row in rows.to_dict("records")]
    write_table(out, (Column("Alloc Ptr", right=False), *MEASURES), cells)


def write_peaks(out: TextIO, rows: pd.DataFrame) -> None:
    """Write `rows` of analysis' peaks(): a line each, and one for each call site that held objects."""
    for row in rows.to_dict("records"):
        held = f"{size(row['bytes'])} in {plural(row['objects'], 'object')}"
        write_paragraph(out, f"{row['cache']}: {held} at {duration(row['ts_ns'])}")
        for each in row["held_by"]:
            share = f"{size(each['bytes'])} in {plural(each['objects'], 'object')}"
            write_paragraph(out, f"    {share} by {each['symbol']}")


def _cells(row: dict[Any, Any]) -> list[str]:
    hits = max(row["hits"], 1)  # a row of frees alone has none
    return [
        f"{size(row['bytes_alloc'])}/{row['bytes_alloc'] // hits}",
        f"{size(row['bytes_req'])}/{row['bytes_req'] // hits}",
        estimated(row, "hits"),
        count(row["pingpong"]),
        percent(row["frag"]),
    ]
