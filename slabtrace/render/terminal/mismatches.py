# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace mismatches`: each finding with the events that contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.text import escape, write_paragraph
from slabtrace.units import duration, plural

if TYPE_CHECKING:
    import pandas as pd

# What each event is called, where an object was freed twice and where once.
DOUBLE = (("alloc", "allocated"), ("first_free", "first freed"), ("second_free", "freed again"))
SINGLE = (("alloc", "allocated"), ("first_free", "freed"))


def write_mismatches(out: TextIO, findings: pd.DataFrame) -> None:
    """Write `findings` (rows of analysis' mismatches())."""
    if findings.empty:
        out.write("no mismatches: no free contradicts what was seen before\n")
        return
    for number, finding in enumerate(findings.to_dict("records")):
        out.write("\n" if number else "")
        _write_finding(out, finding)


def unsupported(number: int, cause: str) -> str:
    """Say how many frees are not called wrong, and why; "" if there are none."""
    if not number:
        return ""
    return f"{plural(number, 'apparent wrong free')} that {cause} could explain"


def write_unsupported(out: TextIO, number: int, cause: str) -> None:
    """Write what is not listed, as one paragraph; nothing if there is none."""
    if number:
        out.write("\n")
        write_paragraph(out, f"Not listed: {unsupported(number, cause)}; --all lists them.")


def write_unseen_kind(out: TextIO) -> None:
    """Say that the kernel that was recorded may hide one kind of mismatch."""
    out.write("\n")
    write_paragraph(
        out,
        "Frees to the wrong cache may be missing: this recording did not trace the warning that the allocator"
        " prints about them.",
    )


def _write_finding(out: TextIO, finding: dict[Any, Any]) -> None:
    write_paragraph(out, f"{_headline(finding)}; {confidence(finding)}")
    for key, words in DOUBLE if finding.get("second_free") else SINGLE:
        event = finding.get(key)
        if isinstance(event, Mapping) and event:
            _write_event(out, words, event)
        elif key == "alloc":
            out.write("  allocated before the recording, or the allocation was missed\n")


def _headline(finding: Mapping[Any, Any]) -> str:
    """What was freed, and what was wrong with it."""
    text = f"{finding['kind']} of {finding['ptr']:#x} in {finding['cache']}"
    offset, named = finding.get("offset"), finding.get("named_cache")
    if finding["kind"] == "invalid-free" and offset is not None:
        return f"{text}, {plural(int(offset), 'byte')} into an object"
    if finding["kind"] == "wrong-cache-free":
        return f"{text}, freed to {named or 'another cache (this kernel does not report which)'}"
    return text


def confidence(finding: Mapping[Any, Any]) -> str:
    """How sure the finding is, and what supports it: missed events can look like a mismatch."""
    if finding["confidence"] == "bounded":
        return f"not confirmed: {plural(int(finding['maybe_missed']), 'missed event')} could explain it"
    if finding["confidence"] != "unprovable":
        return "confirmed"
    if not finding["supported"]:
        return f"unverified: {finding['explained_by']} could explain it"
    if finding["kind"] != "double-free":
        return "unverified, but its slab can hardly have been given to another cache in between"
    apart = duration(finding["second_free"]["ts_ns"] - finding["first_free"]["ts_ns"])
    return f"unverified, but one task allocated it and freed it twice within {apart}, from two call sites"


def _write_event(out: TextIO, words: str, event: Mapping[str, Any]) -> None:
    """When, on which CPU and by whom, then the stack (or the call site alone), innermost first."""
    pid, called = event.get("pid"), event.get("called")
    who = f"by {event.get('comm') or 'an unknown task'}" + ("" if pid is None else f" (pid {pid})")
    how = f" with {called}" if called else ""
    when = f"at {duration(event.get('ts_ns'))} on CPU {event.get('cpu', '?')}"
    write_paragraph(out, f"  {words} {when} {who}{how}")
    frames = list(event.get("stack") or []) or [event.get("symbol") or "(no stack)"]
    out.writelines(f"      {escape(str(frame))}\n" for frame in frames)
