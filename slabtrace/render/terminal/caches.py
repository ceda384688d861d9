# SPDX-License-Identifier: Apache-2.0
"""The report of `slabtrace caches`: one line per slab cache, traced beside the kernel's own count.

`net` is allocations less frees, as traced or proved to have been missed; `kernel` is the change of
the cache's active objects as the kernel itself counts them (slabinfo), which includes objects
parked on per-CPU lists; `agree` is the share of the larger that the other explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import Column, escape, name_column, write_table
from slabtrace.units import NOT_KNOWN, count, percent, plural, size, unknown

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    name_column("cache"),
    Column("size"),
    Column("allocs"),
    Column("frees"),
    Column("net"),
    Column("kernel"),
    Column("agree"),
    Column("peak"),
    Column("waste"),
)


def write_caches(out: TextIO, caches: pd.DataFrame, hidden: int, with_aliases: bool = False) -> None:
    """Write `caches` (rows of analysis' caches()) to `out`; `hidden`: how many the limit cut off.

    `with_aliases`: list below the table the names merged into each cache, which share its counts.
    """
    rows = caches.to_dict("records")
    write_table(out, COLUMNS, [_cells(row) for row in rows])
    if hidden:
        out.write(f"… and {plural(hidden, 'cache')} more (-l 0 shows all)\n")
    if with_aliases:
        _write_aliases(out, rows)


def _cells(row: dict[Any, Any]) -> list[str]:
    return [
        row["cache"],
        count(row["size"]),
        count(row["allocs"]),
        count(row["frees"]),
        f"{row['allocs'] - row['frees'] - row['inferred']:+,}",
        _kernel_change(row),
        percent(row["explained"]),
        count(row["peak_outstanding"]),
        size(row["waste_bytes"]),
    ]


def _kernel_change(row: dict[Any, Any]) -> str:
    start, end = row["slabinfo_start"], row["slabinfo_end"]
    return NOT_KNOWN if unknown(start) or unknown(end) else f"{end - start:+,}"


def _write_aliases(out: TextIO, rows: list[dict[Any, Any]]) -> None:
    merged = [row for row in rows if len(row["aliases"])]
    if merged:
        out.write("\nmerged by the kernel, sharing one count:\n")
    for row in merged:
        out.write(f"  {escape(row['cache'])} = {escape(', '.join(row['aliases']))}\n")
