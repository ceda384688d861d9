# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace diff`: a paragraph for each group that differs, or grows in both recordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import escape, write_paragraph
from slabtrace.units import count, growth, plural, rate, size, unknown

if TYPE_CHECKING:
    import pandas as pd

FRAMES_SHOWN = 12
NO_OWNERS: Mapping[int, str] = MappingProxyType({})
LEAST_P = 1e-99  # a smaller probability is shown as less than this


def write_diff(out: TextIO, groups: pd.DataFrame, owners: Mapping[int, str] = NO_OWNERS) -> None:
    """Write `groups` (rows of analysis' diff()); those of one finding are one paragraph.

    `owners`: by the rank of a finding, the cache of what owns it, which comes first: a group of another
    cache may hold objects of others, too.
    """
    for number, (row, *others) in enumerate(_by_finding(groups.to_dict("records"), owners)):
        out.write("\n" if number else "")
        _write_group(out, row)
        if others:
            write_paragraph(out, f"  with it: {'; '.join(_member(each) for each in others)}")
    if groups.empty:
        out.write("no significant difference, and nothing that grows in both recordings\n")


def write_found(out: TextIO, chance: int, found: int) -> None:
    """Write two totals, those that are not 0.

    `chance`: groups without a significant difference, not shown; `found`: groups that make the exit code 1.
    """
    if chance:
        write_paragraph(out, f"{plural(chance, 'group')} without a significant difference (--all shows them)")
    if found:
        write_paragraph(
            out, f"found: {plural(found, 'group')} new or grown, and suspect, growing or retained"
        )


def write_notes(out: TextIO, notes: Sequence[str]) -> None:
    """Write a line for each way in which the recordings differ."""
    for note in notes:
        write_paragraph(out, f"note: {note}")


def _by_finding(rows: Sequence[dict[Any, Any]], owners: Mapping[int, str]) -> Iterable[list[dict[Any, Any]]]:
    """The rows of each finding together, where they have one state, the owner's first; others one by one."""
    found: dict[Any, list[dict[Any, Any]]] = {}
    for number, row in enumerate(rows):
        key = (row["state"], row["significant"], row["finding"]) if row["finding"] else number
        found.setdefault(key, []).append(row)
    return [
        sorted(each, key=lambda row: row["cache"] != owners.get(row["finding"])) for each in found.values()
    ]


def _member(row: dict[Any, Any]) -> str:
    return f"{row['cache']}, {_outstanding(row, 'old')} -> {_outstanding(row, 'new')} objects"


def _write_group(out: TextIO, row: dict[Any, Any]) -> None:
    own = ", slabtrace itself" if row["own"] else ""
    write_paragraph(
        out, f"{_state(row)}: {row['cache']}: {_numbers(row)}; {_classes(row)}{own}{_chance(row)}"
    )
    if row["state"] in ("new", "grown", "growing"):
        write_paragraph(out, f"  {row['why']}")
    out.writelines(f"    {escape(frame)}\n" for frame in list(row["stack"])[:FRAMES_SHOWN])


def _state(row: dict[Any, Any]) -> str:
    if row["state"] == "growing":
        return "grows in both"
    return str(row["state"]) + ("" if row["significant"] else " (not significant)")


def _numbers(row: dict[Any, Any]) -> str:
    """What was compared comes first; the numbers of a sample are estimates."""
    objects = f"{_outstanding(row, 'old')} -> {_outstanding(row, 'new')} objects"
    sizes = f"{size(row['bytes_estimate_old'])} -> {size(row['bytes_estimate_new'])}"
    if row["compared"] != "rate":
        return f"{objects}, {sizes}"
    return f"{_rate(row, 'old')} -> {_rate(row, 'new')}; outstanding {objects}, {sizes}"


def _outstanding(row: dict[Any, Any], side: str) -> str:
    estimate = row[f"outstanding_estimate_{side}"]
    return f"{'' if estimate == row[f'outstanding_{side}'] else '~'}{count(estimate)}"


def _rate(row: dict[Any, Any], side: str) -> str:
    """ "2/s (15.0 KiB/min)"; "none" where the group is missing or has stopped growing."""
    objects = row[f"rate_{side}"]
    if unknown(objects) or row[f"class_{side}"] == "retained":
        return "none"
    return f"{rate(objects)} ({growth(row[f'growth_{side}'])})"


def _classes(row: dict[Any, Any]) -> str:
    """The class; both, where they differ."""
    old, new = row["class_old"], row["class_new"]
    return str(row["class"]) if old == new or None in (old, new) else f"{old} -> {new}"


def _chance(row: dict[Any, Any]) -> str:
    if row["compared"] == "nothing":
        return "; not compared"
    return f"; p = {row['p']:.2g}" if row["p"] >= LEAST_P else f"; p < {LEAST_P:g}"
