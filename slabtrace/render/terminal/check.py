# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace check`: passed, or what breaks which rule; and what suppressions matched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from slabtrace.render.terminal.text import escape, write_paragraph
from slabtrace.units import plural, size

if TYPE_CHECKING:
    import pandas as pd

FRAMES_SHOWN = 8


class Used(Protocol):
    """analysis.rules.suppressions.Used."""

    name: str
    groups: int
    objects: int
    bytes: int


def write_suppressed(out: TextIO, used: Sequence[Used], noun: str = "group") -> None:
    """Write a line for each suppression; nothing if there are none.  `noun`: what one of them matches."""
    if used:
        out.write("\n")
    for each in used:
        if each.groups:
            held = f"{plural(each.groups, noun)}, {plural(each.objects, 'object')}, {size(each.bytes)}"
            write_paragraph(out, f"suppressed: {each.name}: {held}")
        else:
            write_paragraph(out, f"suppressed: {each.name}: matched nothing; is it still needed?")


def write_check(out: TextIO, findings: pd.DataFrame, rules: Any, left_out: Any, used: Sequence[Used]) -> None:
    """Write `findings` (rows of analysis' broken()); `rules`: its Rules, `left_out`: its NotCounted."""
    for row in findings.to_dict("records"):
        where = f" {row['cache']}:" if isinstance(row["cache"], str) else ""
        write_paragraph(out, f"{row['rule']}:{where} {row['finding']}")
        for text in (row["why"], row["next"]):
            if isinstance(text, str) and text:
                write_paragraph(out, f"  {text}")
        frames = list(row["stack"]) if isinstance(row["stack"], list) else []
        frames = frames or ([row["symbol"]] if isinstance(row["symbol"], str) and row["symbol"] else [])
        out.writelines(f"    {escape(frame)}\n" for frame in frames[:FRAMES_SHOWN])
    verdict = f"failed: {plural(len(findings), 'finding')}" if len(findings) else "passed"
    write_paragraph(out, f"{verdict} (checked: {', '.join(rules.asked)})")
    if text := "; ".join(_not_counted(left_out)):
        write_paragraph(out, f"not counted: {text}")
    write_suppressed(out, used, "finding")


def _not_counted(left_out: Any) -> Iterator[str]:
    if left_out.reclaimable:
        held = f"{plural(left_out.reclaimable, 'reclaimable finding')}, {size(left_out.reclaimable_bytes)}"
        yield f"{held} (--reclaimable counts them)"
    if left_out.growing:
        yield f"{plural(left_out.growing, 'growing finding')} (--max-growth counts them)"
    if left_out.own:
        yield f"{left_out.own:,} of slabtrace itself"
    if left_out.mismatches:
        yield f"{plural(left_out.mismatches, 'mismatch')} that the evidence does not support"
