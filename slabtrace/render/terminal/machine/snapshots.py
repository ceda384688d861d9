# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace import --snapshot`: what grew, and what kmemleak reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import Column, name_column, write_paragraph, write_table
from slabtrace.units import NOT_KNOWN, count, growth, plural, size, unknown

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    Column("grows", right=False),
    Column("objects"),
    Column("bytes"),
    Column("change"),
    Column("a minute"),
    Column("rises"),
    Column("falls"),
    name_column("place"),
)
CAVEATS = {
    "slabinfo": "slabinfo counts objects that CPUs have parked as in use",
    "allocinfo": "allocinfo counts pages as well as slab objects",
    "alloc_traces": "alloc_traces does not say how large objects are; ages are in jiffies",
    "kmemleak": "kmemleak reports objects that it finds no pointer to: not every one is a leak, nor is every "
    "leak reported",
}


def write_snapshots(out: TextIO, places: pd.DataFrame, number: int, every: pd.DataFrame) -> None:
    """Write `places` (columns.SNAPSHOTS, those of `every` that are shown) of so many snapshots."""
    write_table(out, COLUMNS, [_cells(row) for row in places.to_dict("records")])
    out.write("\n")
    for row in every[every["outstanding"] > 0].to_dict("records"):
        write_paragraph(
            out,
            f"kmemleak reports {count(row['outstanding'])} of the objects of finding #{row['finding']} "
            f"({row['place']})",
        )
    grows = int(every["grows"].sum())
    if number < 2:
        write_paragraph(out, "One snapshot shows what is in use, not what grows.")
    elif number == 2:
        write_paragraph(out, "Two snapshots show a change, not that it goes on: take more.")
    else:
        write_paragraph(
            out, f"{plural(grows, 'place')} of {count(len(every))} grow over {count(number)} snapshots."
        )
    write_paragraph(out, f"{CAVEATS[every['source'].iloc[0]]}.")


def _cells(row: dict[Any, Any]) -> list[str]:
    rate = row["growth_bytes_per_s"]
    return [
        "grows" if row["grows"] else "",
        count(row["objects"]),
        size(row["bytes"]) if row["bytes"] else NOT_KNOWN,
        f"{row['grown_objects']:+,}",
        NOT_KNOWN if unknown(rate) or not row["bytes"] else growth(rate),
        count(row["rises"]),
        count(row["falls"]),
        row["place"],
    ]
