# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace stat --pages`: the totals and tables of `perf kmem stat --page`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from slabtrace.render.terminal.text import Column, name_column, write_fields, write_table
from slabtrace.units import count, size

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.trace.manifest import Totals

BEGIN = "(pages order "  # of the names of their caches
COLUMNS = (
    Column("Total_alloc (KB)"),
    Column("Hits"),
    Column("Order"),
    Column("Mig.type", right=False),
    Column("GFP flags", right=False),
    Column("Outstanding"),
)


def write_pages(
    out: TextIO, rows: pd.DataFrame, shown: pd.DataFrame, caches: pd.DataFrame, totals: Totals
) -> None:
    """Write the totals of `rows` (analysis' page_stat) and those of them that are `shown`.

    `caches`: rows of analysis' caches.
    """
    own = caches[caches["cache"].str.startswith(BEGIN)]
    page = int(own["size"].max()) if len(own) else 0
    hits, pages = int(rows["hits"].sum()), int(rows["pages"].sum())
    older = int(own["old_frees"].sum())
    freed = int(rows["frees"].sum() + rows["inferred"].sum())
    write_fields(
        out,
        [
            ("Total allocation requests", f"{count(hits)} [{_kb(pages * page)}]"),
            ("Total alloc+freed", f"[{_kb(freed * page)}]"),
            ("Total alloc-only", f"[{_kb(int(rows['outstanding'].sum()) * page)}]"),
            ("Total free-only", f"[{_kb(older * page)}]"),
            ("left out", _left_out(totals.left_out, page)),
        ],
    )
    out.write("\n")
    _write_orders(out, rows)
    cells = [
        [
            row["symbol"] or "(further out)",
            f"{row['bytes_alloc'] // 1024:,}",
            count(row["hits"]),
            str(row["order"]),
            row["migrate_type"],
            row["gfp"],
            count(row["outstanding"]),
        ]
        for row in shown.to_dict("records")
    ]
    write_table(out, (name_column("Callsite"), *COLUMNS), cells)


def _write_orders(out: TextIO, rows: pd.DataFrame) -> None:
    """Requests by order and migrate type."""
    if not len(rows):
        return
    by = rows.pivot_table("hits", "order", "migrate_type", "sum", fill_value=0)
    cells = [
        [str(order), *(count(int(each)) for each in line)]
        for order, line in zip(by.index, by.values, strict=True)
    ]
    write_table(out, (Column("Order"), *(Column(str(name)) for name in by.columns)), cells)
    out.write("\n")


def _left_out(pages: dict[str, int], page: int) -> str:
    some = [f"{name} {size(number * page)}" for name, number in pages.items() if number]
    return ", ".join(some) or "nothing"


def _kb(number: int) -> str:
    return f"{number // 1024:,} KB"
