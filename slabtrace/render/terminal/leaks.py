# SPDX-License-Identifier: Apache-2.0
"""The report of `slabtrace leaks`: groups of objects that were never freed, with their stacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from slabtrace.render.terminal.sampling import estimated, stack_of
from slabtrace.render.terminal.text import Column, escape, name_column, write_paragraph, write_table
from slabtrace.units import count, duration, plural, size, unknown

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    Column("#"),
    Column("class", right=False),
    Column("growth/min"),
    Column("objects"),
    Column("bytes"),
    Column("unsure"),
    name_column("cache"),
)
TOLD_BY = {"call_site": "call site", "module": "module", "process": "process"}
NAMES_SHOWN = 4  # comms of a group; the rest are counted


def write_leaks(
    out: TextIO, groups: pd.DataFrame, hidden: int, by: str, ended_ns: int, others: int = 0
) -> None:
    """Write the ranked `groups` (rows of analysis' leaks()) to `out`.

    `others`: how many groups there are that were not asked for.

    `hidden`: how many further groups the limit cut off.  `by`: "stack" (shows each group's stack),
    "call_site", "module", "process" or "cache".  `ended_ns`: when the recording ended, ns since its start.
    """
    if groups.empty and others:
        out.write(f"none of this kind; {plural(others, 'other group')} outstanding\n")
        return
    if groups.empty:
        out.write("nothing outstanding: every allocation that was seen was also freed\n")
        return
    if by == "stack":
        for group in groups.to_dict("records"):
            _write_group(out, group, ended_ns)
    else:
        _write_tables(out, groups, by)
    if hidden:
        out.write(f"… and {plural(hidden, 'group')} more (-l 0 shows all)\n")


def _write_group(out: TextIO, group: dict[Any, Any], ended_ns: int) -> None:
    """One group as a headline, its stack innermost frame first, and who allocated it."""
    write_paragraph(
        out,
        f"#{group['rank']} {_judgement(group)}{plural(group['outstanding'], 'object')} of {group['cache']} "
        f"outstanding, {size(group['bytes_alloc'])}{_of_all(group)}; "
        f"{count(group['freed'])} of {count(group['allocated'])} freed; "
        f"oldest {duration(ended_ns - group['oldest_ns'])}",
    )
    if group["class"] is not None:
        write_paragraph(out, f"   {group['why']}")
    frames = list(group["stack"]) or [group["symbol"]]
    out.writelines(f"    {escape(frame)}\n" for frame in frames)
    if sampled := stack_of(group):
        write_paragraph(out, f"  ({sampled})")
    write_paragraph(out, f"  by {_who(group)}; {_confidence(group)}")
    out.write("\n")


def _of_all(group: dict[Any, Any]) -> str:
    """What the objects of a sample stand for."""
    if "outstanding_estimate" not in group:
        return ""
    return f" (of all: {estimated(group, 'outstanding')}, {size(group['bytes_estimate'])})"


def _write_tables(out: TextIO, groups: pd.DataFrame, by: str) -> None:
    """All groups as one table, and one more for those of the recorder itself."""
    own = groups["own"]
    if not own.all():
        _write_groups(out, groups[~own], by)
    if own.any():
        out.write("by slabtrace itself:\n")
        _write_groups(out, groups[own], by)


def _write_groups(out: TextIO, groups: pd.DataFrame, by: str) -> None:
    """Groups as one table, a line each."""
    told = TOLD_BY.get(by)  # what tells the groups of one cache apart
    rows = (
        [
            str(group["rank"]),
            group["class"] or "",
            _growth(group),
            estimated(group, "outstanding"),
            size(group.get("bytes_estimate", group["bytes_alloc"])),
            _unsure(group),
            group["cache"],
            *([_told(group, by)] if told else []),
        ]
        for group in groups.to_dict("records")
    )
    write_table(out, (*COLUMNS, name_column(told)) if told else COLUMNS, rows)


def _told(group: dict[Any, Any], by: str) -> str:
    if by == "module":
        return str(group["module"]) or "(kernel)"
    return _who(group) if by == "process" else str(group["symbol"])


def _judgement(group: dict[Any, Any]) -> str:
    """ "suspect (score 0.97): "."""
    if group["class"] == "suspect":
        return f"suspect (score {group['score']:.2f}): "
    return f"{group['class']}: " if group["class"] is not None else ""


def _confidence(group: dict[Any, Any]) -> str:
    """What the finding claims: whether any of its objects may have been freed unseen."""
    in_use = f", {count(group['in_use'])} found in use at the end" if group["in_use"] else ""
    if group["confidence"] == "exact":
        return f"exact{in_use}"
    maybe = group["maybe_freed"]
    most = "any" if unknown(maybe) else f"at most {count(maybe)}" if maybe else "none"
    return f"{group['confidence']}: {most} may be freed{in_use}"


def _growth(group: dict[Any, Any]) -> str:
    """Bytes a minute, where it is certain that they grow."""
    low = group.get("growth_low")
    return size(60 * group["growth_bytes_per_s"]) if low is not None and low > 0 else "-"


def _unsure(group: dict[Any, Any]) -> str:
    """The same in a cell: how many may have been freed unseen."""
    if group["confidence"] == "exact":
        return "0"
    return "?" if unknown(group["maybe_freed"]) else f"≤{count(group['maybe_freed'])}"


def _who(group: dict[Any, Any]) -> str:
    if group["own"]:
        return "slabtrace itself"
    comms: Sequence[str] = list(group["comms"])
    pids: Sequence[int] = list(group["pids"])
    if not comms and not pids:
        return "an unknown task"
    names = ", ".join(comms[:NAMES_SHOWN]) or "?"
    more = f" and {len(comms) - NAMES_SHOWN} more" if len(comms) > NAMES_SHOWN else ""
    return f"{names}{more} (pid {pids[0]})" if len(pids) == 1 else f"{names}{more} ({len(pids)} pids)"
