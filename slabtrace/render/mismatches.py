# SPDX-License-Identifier: Apache-2.0
"""The report of `slabtrace mismatches`: each finding with the events that contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.text import escape, write_paragraph
from slabtrace.render.units import duration, plural

if TYPE_CHECKING:
    import pandas as pd

EVENTS = (("alloc", "allocated"), ("first_free", "first freed"), ("second_free", "freed again"))


def write_mismatches(out: TextIO, findings: pd.DataFrame, hidden: int) -> None:
    """Write `findings` (rows of analysis' mismatches()); `hidden`: how many the limit cut off."""
    if findings.empty:
        out.write("no mismatches: no free and no allocation contradicts another\n")
        return
    for finding in findings.to_dict("records"):
        _write_finding(out, finding)
    if hidden:
        out.write(f"… and {plural(hidden, 'finding')} more (-l 0 shows all)\n")


def _write_finding(out: TextIO, finding: dict[Any, Any]) -> None:
    write_paragraph(
        out, f"{finding['kind']} of {finding['ptr']:#x} in {finding['cache']} ({finding['confidence']})"
    )
    for key, words in EVENTS:
        event = finding.get(key)
        if isinstance(event, Mapping) and event:
            _write_event(out, words, event)
    out.write("\n")


def _write_event(out: TextIO, words: str, event: Mapping[str, Any]) -> None:
    """When, on which CPU and by whom, then the stack (or the call site alone), innermost first."""
    pid = event.get("pid")
    who = f"by {event.get('comm') or 'an unknown task'}" + ("" if pid is None else f" (pid {pid})")
    write_paragraph(out, f"  {words} at {duration(event.get('ts_ns'))} on CPU {event.get('cpu', '?')} {who}")
    frames = list(event.get("stack") or []) or [event.get("symbol") or "(no stack)"]
    out.writelines(f"      {escape(str(frame))}\n" for frame in frames)
