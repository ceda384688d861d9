# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace caches`: one line per slab cache, traced beside the kernel's own count.

`frees` are those seen and those inferred, so `net` is `allocs` less `frees`; `kernel` is the change of the
kernel's own count of objects in use (slabinfo), which includes parked objects; `match` is the share of the
larger of the two that the other one explains, or "±N": they differ by no more than the N objects that CPUs
may keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.reconcile import match
from slabtrace.render.terminal.text import Column, escape, name_column, write_paragraph, write_table
from slabtrace.units import NOT_KNOWN, count, plural, size, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

SUMMED_SHOWN = 3

COLUMNS = (
    name_column("cache"),
    Column("size"),
    Column("allocs"),
    Column("frees"),
    Column("net"),
    Column("kernel"),
    Column("match"),
    Column("peak"),
    Column("waste"),
)


def write_caches(out: TextIO, caches: pd.DataFrame, with_aliases: bool = False) -> None:
    """Write `caches` (rows of analysis' caches()) to `out`.

    `with_aliases`: list below the table the names merged into each cache, which share its counts.
    """
    rows = caches.to_dict("records")
    write_table(out, COLUMNS, [_cells(row) for row in rows])
    inferred = sum(row["inferred"] for row in rows)
    if inferred:
        write_paragraph(out, f"frees include {plural(inferred, 'free')} not seen but inferred")
    if with_aliases:
        _write_aliases(out, rows)


def write_copies(out: TextIO, copies: Mapping[str, Sequence[str]], shown: Iterable[str]) -> None:
    """Say which of the caches `shown` are sums of `copies` (Trace.copies()); nothing if none is."""
    summed = [name for name in dict.fromkeys(shown) if name in copies]
    if summed:
        more = f" and {len(summed) - SUMMED_SHOWN} more" if len(summed) > SUMMED_SHOWN else ""
        each = [f"{name} (of {count(len(copies[name]))})" for name in summed[:SUMMED_SHOWN]]
        write_paragraph(
            out, f"sums of the copies of a kmalloc cache: {', '.join(each)}{more}; --copies lists them"
        )


def _cells(row: dict[Any, Any]) -> list[str]:
    return [
        row["cache"],
        count(row["size"]),
        count(row["allocs"]),
        count(row["frees"] + row["inferred"]),
        f"{row['allocs'] - row['frees'] - row['inferred']:+,}",
        _kernel_change(row),
        match(row, "±"),
        count(row["peak_outstanding"]),
        size(row["waste_bytes"]),
    ]


def _kernel_change(row: dict[Any, Any]) -> str:
    start, end = row["slabinfo_start"], row["slabinfo_end"]
    return NOT_KNOWN if unknown(start) or unknown(end) else f"{end - start:+,}"


def _write_aliases(out: TextIO, rows: list[dict[Any, Any]]) -> None:
    merged = [row for row in rows if len(row["aliases"])]
    if merged:
        out.write("\ncaches that the kernel merged; all names of a line share one count:\n")
    for row in merged:
        out.write(f"  {escape(row['cache'])} = {escape(', '.join(row['aliases']))}\n")
