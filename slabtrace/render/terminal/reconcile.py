# SPDX-License-Identifier: Apache-2.0
"""The kernel's account beside the traced one: the caches that differ most, a sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import write_paragraph
from slabtrace.units import plural

if TYPE_CHECKING:
    import pandas as pd

MOST = 5
ALIASES_SHOWN = 3


def write_reconciliation(out: TextIO, accounts: pd.DataFrame) -> None:
    """Write the largest residues of `accounts` (rows of analysis' reconcile()), and how many agree."""
    if accounts.empty:
        out.write("\nThe kernel's own count (slabinfo) is not in the trace: nothing to compare with.\n")
        return
    differing = accounts[accounts["residue"] != 0]
    agreeing = len(accounts) - len(differing)
    out.write("\n")
    agree = plural(agreeing, "cache") + (" agrees" if agreeing == 1 else " agree")
    ending = ", most:" if len(differing) else "."
    write_paragraph(out, f"Beside the kernel's own count {agree} and {len(differing):,} differ{ending}")
    for row in differing.head(MOST).to_dict("records"):
        write_paragraph(out, f"  {sentence(row)}")


def sentence(row: dict[Any, Any]) -> str:
    """ "kmalloc-64: kernel +1,203, traced +1,198: 99.6 % explained; the rest: why"."""
    told = f"{_name(row)}: kernel {row['kernel']:+,}, traced {row['traced']:+,}: "
    told += f"{100 * row['explained']:.1f} % explained"
    return f"{told}; the rest: {row['why']}" if row["why"] else told


def _name(row: dict[Any, Any]) -> str:
    """The cache with the names that share its count."""
    aliases = list(row["aliases"])
    if not aliases:
        return str(row["cache"])
    more = f" and {len(aliases) - ALIASES_SHOWN} more" if len(aliases) > ALIASES_SHOWN else ""
    return f"{row['cache']} (also {', '.join(aliases[:ALIASES_SHOWN])}{more})"
