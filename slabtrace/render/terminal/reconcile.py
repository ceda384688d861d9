# SPDX-License-Identifier: Apache-2.0
"""The kernel's own count of objects beside the traced one: the caches that differ most, a sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import write_paragraph
from slabtrace.units import percent, plural

if TYPE_CHECKING:
    import pandas as pd

MOST = 5
ALIASES_SHOWN = 3


def write_reconciliation(out: TextIO, accounts: pd.DataFrame) -> None:
    """Write the largest differences of `accounts` (rows of analysis' reconcile()), and how many match."""
    if accounts.empty:
        out.write(
            "\nThe kernel's own count (slabinfo) is not in the trace, so there is nothing to compare with.\n"
        )
        return
    differing = accounts[accounts["residue"] != 0]
    matching = plural(len(accounts) - len(differing), "cache")
    out.write("\n")
    ending = "; the largest differences:" if len(differing) else "."
    write_paragraph(
        out,
        f"Compared with the kernel's own count: {matching} without a difference, "
        f"{len(differing):,} with one{ending}",
    )
    for row in differing.head(MOST).to_dict("records"):
        write_paragraph(out, f"  {sentence(row)}")


def sentence(row: dict[Any, Any]) -> str:
    """ "kmalloc-64: kernel +1,203, traced +1,198, match 99.6%; difference explained by: why"."""
    change = f"kernel {row['kernel']:+,}, traced {row['traced']:+,}, match {percent(row['explained'])}"
    why = f"; difference explained by: {row['why']}" if row["why"] else ""
    return f"{_name(row)}: {change}{why}"


def _name(row: dict[Any, Any]) -> str:
    """The cache with the names that share its count."""
    aliases = list(row["aliases"])
    if not aliases:
        return str(row["cache"])
    more = f" and {len(aliases) - ALIASES_SHOWN} more" if len(aliases) > ALIASES_SHOWN else ""
    return f"{row['cache']} (also {', '.join(aliases[:ALIASES_SHOWN])}{more})"
