# SPDX-License-Identifier: Apache-2.0
"""The kernel's own count of objects beside the traced one: the caches that differ most, a sentence each.

The kernel counts free objects that CPUs keep as in use, so it cannot resolve a smaller difference: a match of
0 % may then mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.analysis.trust.reconcile import FILTERED, PARKED
from slabtrace.render.terminal.text import write_paragraph
from slabtrace.units import NOT_KNOWN, count, percent, plural, unknown

if TYPE_CHECKING:
    import pandas as pd

MOST = 5
ALIASES_SHOWN = 3
GOOD = 0.9  # a match from here on is said as it is


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


def match(row: Mapping[Any, Any], within: str = "within ") -> str:
    """How well both counts of a cache (a row of Trace.caches()) agree: "99.6%", "within 312", "filtered".

    "within 312" where the kernel's count cannot tell: CPUs may keep so many free objects.
    """
    if unknown(row["explained"]):
        return NOT_KNOWN
    if row["why"] == FILTERED:
        return "filtered"
    difference, slack = row["unexplained"], row["slack"]
    resolved = difference == 0 or abs(difference) > slack or row["explained"] >= GOOD
    return percent(row["explained"]) if resolved else f"{within}{count(slack)}"


def sentence(row: dict[Any, Any]) -> str:
    """ "kmalloc-64: kernel +1,203, traced +1,198, match 99.6%; difference explained by: why"."""
    said, change = match({**row, "unexplained": row["residue"]}), f"kernel {row['kernel']:+,}"
    change += f", traced {row['traced']:+,}"
    if said.startswith("within") and row["why"] == PARKED:
        change += f"; {said} free objects that CPUs may keep, which the kernel counts as in use"
        return f"{_name(row)}: {change}"
    matching = "" if row["why"] == FILTERED else f", match {percent(row['explained'])}"
    why = f"; difference explained by: {row['why']}" if row["why"] else ""
    return f"{_name(row)}: {change}{matching}{why}"


def _name(row: dict[Any, Any]) -> str:
    """The cache with the names that share its count."""
    aliases = list(row["aliases"])
    if not aliases:
        return str(row["cache"])
    more = f" and {len(aliases) - ALIASES_SHOWN} more" if len(aliases) > ALIASES_SHOWN else ""
    return f"{row['cache']} (also {', '.join(aliases[:ALIASES_SHOWN])}{more})"
