# SPDX-License-Identifier: Apache-2.0
"""The report of `slabtrace mismatches`: each finding with the events that contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import escape, write_paragraph
from slabtrace.units import duration, plural

if TYPE_CHECKING:
    import pandas as pd

# What each event is called; of what was freed once, there is no first time.
DOUBLE = (("alloc", "allocated"), ("first_free", "first freed"), ("second_free", "freed again"))
SINGLE = (("alloc", "allocated"), ("first_free", "freed"))


def write_mismatches(out: TextIO, findings: pd.DataFrame, hidden: int) -> None:
    """Write `findings` (rows of analysis' mismatches()); `hidden`: how many the limit cut off."""
    if findings.empty:
        out.write("no mismatches: no free and no allocation contradicts another\n")
        return
    for finding in findings.to_dict("records"):
        _write_finding(out, finding)
    if hidden:
        out.write(f"… and {plural(hidden, 'finding')} more (-l 0 shows all)\n")


def write_unseen_kind(out: TextIO) -> None:
    """Say that a kind of mismatch may be hidden by the kernel that was recorded."""
    write_paragraph(
        out,
        "Frees to the wrong cache are seen only if the kernel shows which cache was named: nothing watched"
        " the allocator's own complaints while this was recorded.",
    )
    out.write("\n")


def _write_finding(out: TextIO, finding: dict[Any, Any]) -> None:
    write_paragraph(out, f"{_headline(finding)}; {_confidence(finding)}")
    for key, words in DOUBLE if finding.get("second_free") else SINGLE:
        event = finding.get(key)
        if isinstance(event, Mapping) and event:
            _write_event(out, words, event)
        elif key == "alloc":
            out.write("  allocated before the recording, or unseen\n")
    out.write("\n")


def _headline(finding: Mapping[Any, Any]) -> str:
    """What was freed, and what was wrong with it."""
    text = f"{finding['kind']} of {finding['ptr']:#x} in {finding['cache']}"
    offset, named = finding.get("offset"), finding.get("named_cache")
    if finding["kind"] == "invalid-free" and offset is not None:
        return f"{text}, {plural(int(offset), 'byte')} into an object"
    if finding["kind"] == "wrong-cache-free":
        return f"{text}, freed to {named or 'another cache (which, this kernel hides)'}"
    return text


def _confidence(finding: Mapping[Any, Any]) -> str:
    """How sure that is; what could explain it otherwise are events that were missed."""
    confidence = str(finding["confidence"])
    if confidence == "bounded":
        return f"{confidence}: {plural(int(finding['maybe_missed']), 'missed event')} could explain it"
    if confidence == "unprovable":
        return f"{confidence}: what was not watched could explain it"
    return confidence


def _write_event(out: TextIO, words: str, event: Mapping[str, Any]) -> None:
    """When, on which CPU and by whom, then the stack (or the call site alone), innermost first."""
    pid, called = event.get("pid"), event.get("called")
    who = f"by {event.get('comm') or 'an unknown task'}" + ("" if pid is None else f" (pid {pid})")
    how = f" with {called}" if called else ""
    when = f"at {duration(event.get('ts_ns'))} on CPU {event.get('cpu', '?')}"
    write_paragraph(out, f"  {words} {when} {who}{how}")
    frames = list(event.get("stack") or []) or [event.get("symbol") or "(no stack)"]
    out.writelines(f"      {escape(str(frame))}\n" for frame in frames)
