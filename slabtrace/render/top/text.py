# SPDX-License-Identifier: Apache-2.0
"""A snapshot of `slabtrace top` as text: its head line and its rows, for the screen and for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.analysis.leaks.findings import GROWING, SUSPECT
from slabtrace.render.terminal.outstanding.leaks import who
from slabtrace.render.terminal.text import Column, escape, name_column, write_table
from slabtrace.units import count, duration, growth, plural, rate, size

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.leaks.verdict import Verdict
    from slabtrace.analysis.live.tables import LiveTables
    from slabtrace.analysis.live.trace import LiveTrace

# The sort keys and the columns of analysis.live they stand for; largest first.  slabtrace's own are last.
CLASS = "class"  # suspects first, then what grows, then most bytes
SORT_KEYS = {
    CLASS: "bytes",
    "bytes": "bytes",
    "outstanding": "outstanding",
    "allocs": "allocs_per_s",
    "frees": "frees_per_s",
    "growth": "growth_per_s",
}
COLUMNS = (
    Column("outstanding"),
    Column("bytes"),
    Column("allocs"),
    Column("frees"),
    Column("growth"),
    Column("class", right=False),
    name_column("process"),
    name_column("cache"),
)
NAMES = 6  # the first column with a name
GROW = (SUSPECT, GROWING)
UNCONFIRMED = "some frees cannot be traced here: `slabtrace record` confirms what grows"
UNLIMITED = 1_000_000  # cells


def columns(by: str) -> tuple[Column, ...]:
    """The columns of a table by "cache" or "call_site"."""
    return (*COLUMNS, name_column("call site")) if by == "call_site" else COLUMNS


def cells(row: Mapping[Any, Any], tables: LiveTables, by: str) -> list[str]:
    """The cells of a row of analysis.live, unescaped."""
    grew = row["growth_per_s"]
    texts = [
        count(row["outstanding"]),
        size(row["bytes"]),
        rate(row["allocs_per_s"]),
        rate(row["frees_per_s"]),
        f"{'+' if grew > 0 else ''}{size(grew)}/s" if grew else "0",
        row["class"],
        who(dict(row)) if row["own"] or row["pids"] else "",
        tables.cache_name(int(row["cache"])),
    ]
    return [*texts, tables.symbol(int(row["call_site"]))] if by == "call_site" else texts


def chosen(
    frame: pd.DataFrame, tables: LiveTables, by: str, sort: str, words: str = ""
) -> list[tuple[dict[Any, Any], list[str]]]:
    """(row, its cells) of `frame`, sorted by `sort` (a key of SORT_KEYS), whose names contain `words`."""
    keys = {"own": True, SORT_KEYS[sort]: False}
    if sort == CLASS:
        frame = frame.assign(order=_order(frame))
        keys = {"own": True, "order": True, SORT_KEYS[sort]: False}
    ordered = frame.sort_values(list(keys), ascending=list(keys.values()), kind="stable")
    rows = [(row, cells(row, tables, by)) for row in ordered.to_dict("records")]
    return [each for each in rows if words.lower() in " ".join(each[1][NAMES:]).lower()]


def _order(frame: pd.DataFrame) -> pd.Series[int]:
    """What grows by the rank of its findings; all others after it."""
    return frame["finding"].where(frame["class"].isin(GROW), frame["finding"].max() + 1)


def head(frame: pd.DataFrame, seconds: float, live: LiveTrace) -> str:
    """The line above the table `frame`, `seconds` after the start."""
    totals = live.manifest.totals
    skipped = max(totals.recursion_missed - totals.recovered, 0)
    parts = [
        f"{seconds:.0f} s",
        f"{rate(frame['allocs_per_s'].sum())} allocs",
        f"{rate(frame['frees_per_s'].sum())} frees",
        f"{count(frame['outstanding'].sum())} outstanding, {size(int(frame['bytes'].sum()))}",
        *([plural(live.mismatches, "double free")] if live.mismatches else []),
        f"{plural(totals.dropped + totals.late, 'event')} lost",
        *([f"up to {count(skipped)} skipped"] if skipped else []),
    ]
    return "; ".join(parts)


def verdict(live: LiveTrace) -> str:
    """The line that says what was found so far, and the least leak that would have been."""
    if live.judgement is None:
        return "not judged yet"
    found, after = live.judgement.verdict, duration(live.judgement.length_ns)
    unseen = found.growing and live.manifest.coverage.unattached
    parts = [
        f"{plural(found.suspects, 'suspect')}{_growth(found)}, {count(found.growing)} growing after {after}",
        *([UNCONFIRMED] if unseen else []),
        _least(found),
        *[each.rstrip(".") for each in found.limits],
    ]
    return "; ".join(parts)


def reason(rows: pd.DataFrame, live: LiveTrace) -> str:
    """Why the gravest finding of `rows` has its class; "" if there is none."""
    ranks = rows["finding"][rows["finding"] > 0]
    if live.judgement is None or ranks.empty:
        return ""
    finding = live.judgement.findings.iloc[int(ranks.min()) - 1]
    following = f"; {finding['next']}" if finding["next"] else ""
    return f"{finding['class']}: {finding['why']}{following}"


def _growth(found: Verdict) -> str:
    return f" ({growth(found.growth_bytes_per_s)})" if found.suspects else ""


def _least(found: Verdict) -> str:
    if found.least_rate_per_s is None:
        return "too short to find a leak: watch for a minute or more"
    return f"a leak of one object every {duration(1e9 / found.least_rate_per_s)} would have been found"


def write_moment(out: TextIO, lines: Sequence[str], rows: Sequence[Sequence[str]], by: str) -> None:
    """Write one snapshot as plain text; names are cut only where a terminal limits the width."""
    out.writelines(f"{escape(line)}\n" for line in lines)
    write_table(out, columns(by), rows, None if out.isatty() else UNLIMITED)
    out.write("\n")
