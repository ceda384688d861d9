# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace leaks`: groups of objects that were never freed, with their stacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from slabtrace.analysis.freeing.words import allocated_in, siblings
from slabtrace.analysis.names.objects import in_table, shown
from slabtrace.render.terminal.sampling import estimated, stack_of
from slabtrace.render.terminal.text import Column, escape, name_column, write_paragraph, write_table
from slabtrace.render.terminal.verdict import claim
from slabtrace.units import count, duration, growth, plural, size, unknown

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.trust.completeness import Completeness

COLUMNS = (
    Column("finding"),
    Column("class", right=False),
    Column("growth/min"),
    Column("objects"),
    Column("bytes"),
    Column("unsure"),
    name_column("cache"),
)
BY_WHOSE = ("command", "cgroup", "unit", "container", "charged")
# Further columns, by what distinguishes the groups of one cache.  A pid has its own, so that it is never cut.
MORE_COLUMNS = {
    "call_site": (name_column("call site"),),
    "module": (name_column("module"),),
    "process": (Column("pid"), name_column("process")),
    **{each: (name_column(each),) for each in BY_WHOSE},
    "work": (name_column("context"),),
    "cache": (name_column("object"),),
}
NEARLY_ALL = 0.9  # of the objects
NAMES_SHOWN = 4  # comms of a group; the rest are only counted


class Listing(NamedTuple):
    """What groups are listed.

    `by`: "stack" (shows each group's stack), or another key of KEYS in grouping/groups.py; `ended_ns`: when
    the recording ended, ns since its start; `others`: how many groups the filters left out; `own`: how many
    groups of slabtrace itself are not shown.
    """

    by: str
    ended_ns: int
    others: int
    completeness: Completeness
    own: int = 0


def write_leaks(out: TextIO, groups: pd.DataFrame, listing: Listing) -> None:
    """Write `groups` (rows of analysis' leaks()) to `out`, in their order."""
    if groups.empty and listing.others:
        out.write(f"none of this kind; {plural(listing.others, 'other group')} outstanding\n")
    elif groups.empty and listing.own:
        out.write("nothing outstanding except objects of slabtrace itself\n")
    elif groups.empty:
        out.write("nothing outstanding: every allocation that was seen was also freed\n")
    elif listing.by == "stack":
        for number, group in enumerate(groups.to_dict("records")):
            out.write("\n" if number else "")
            _write_group(out, group, listing)
    else:
        _write_tables(out, groups, listing.by)


def write_own(out: TextIO, hidden: pd.DataFrame, noun: str = "group") -> None:
    """Say that the rows `hidden`, of slabtrace itself, are not shown; nothing if there are none."""
    if len(hidden):
        held = f"{plural(len(hidden), noun)} of slabtrace itself, {size(int(hidden['bytes_alloc'].sum()))}"
        write_paragraph(out, f"{held}, not shown: --own shows them")


def who(group: dict[Any, Any]) -> str:
    """Who allocated a group: "nginx (pid 4321)", "sh, make and 3 more (7 pids)".

    Where one process allocated nearly all: "nginx (pid 4321; 401 of 404 objects) and 2 other processes".
    """
    if group["own"]:
        return "slabtrace itself"
    pids: Sequence[int] = list(group["pids"])
    if not len(group["comms"]) and not pids:
        return "an unknown task"
    if len(pids) == 1:
        return f"{_names(group)} (pid {pids[0]})"
    most, every = nearly_all(group)
    if not most:
        return f"{_names(group)} ({len(pids)} pids)"
    comm = next(iter(group["comms"]), "?")
    more = plural(len(pids) - 1, "other process")
    return f"{comm} (pid {pids[0]}; {count(most)} of {count(every)} objects) and {more}"


def nearly_all(group: dict[Any, Any]) -> tuple[int, int]:
    """(objects of the first process, of all), where that one of several allocated nearly all; else zeros."""
    numbers, every = list(group.get("pid_objects", ())), int(group.get("objects", group["outstanding"]))
    most = numbers[0] if len(numbers) > 1 else 0
    return (most, every) if most and most >= NEARLY_ALL * every else (0, 0)


def by_whom(group: dict[Any, Any]) -> str:
    """As "by nginx (pid 4321)"; "in softirq NET_RX (on whatever task ran)" where the task is no culprit."""
    context = "" if group["own"] else allocated_in(group.get("context", ""))
    return context or f"by {who(group)}"


def _write_group(out: TextIO, group: dict[Any, Any], listing: Listing) -> None:
    """One group as a headline, its stack innermost frame first, and who allocated it."""
    part = f", part of finding {_finding(group)}" if group["finding"] else ""
    write_paragraph(
        out,
        f"{group['rank']}. {plural(group['outstanding'], 'object')} of {_named(group)} "
        f"outstanding, {size(group['bytes_alloc'])}{of_all(group)}; "
        f"{count(group['freed'])} of {count(group['allocated'])} freed; "
        f"oldest {duration(listing.ended_ns - group['oldest_ns'])}",
    )
    write_paragraph(out, f"   {group['class']}{part}")
    frames = list(group["stack"]) or [group["symbol"]]
    out.writelines(f"    {escape(frame)}\n" for frame in frames)
    if sampled := stack_of(group):
        write_paragraph(out, f"  ({sampled})")
    write_paragraph(out, f"  {by_whom(group)}; {claim(group, listing.completeness)}")
    if freed := siblings(group):
        write_paragraph(out, f"  {freed}")


def _named(group: dict[Any, Any]) -> str:
    return shown(group["cache"], group["aliases"], group["object"], group["symbol"])


def of_all(group: dict[Any, Any]) -> str:
    """Of a sample, the estimate for all objects: " (of all: ~368 ±180, 46.0 KiB)"; else ""."""
    if "outstanding_estimate" not in group:
        return ""
    return f" (of all: {estimated(group, 'outstanding')}, {size(group['bytes_estimate'])})"


def _write_tables(out: TextIO, groups: pd.DataFrame, by: str) -> None:
    """All groups as one table, and one more for those of slabtrace itself."""
    own = groups["own"].astype(bool)
    if not own.all():
        _write_groups(out, groups[~own], by)
    if own.any():
        out.write("by slabtrace itself:\n")
        _write_groups(out, groups[own], by)


def _write_groups(out: TextIO, groups: pd.DataFrame, by: str) -> None:
    """Groups as one table, a line each."""
    rows = (
        [
            _finding(group) or "-",
            group["class"],
            _growth(group),
            estimated(group, "outstanding"),
            size(group.get("bytes_estimate", group["bytes_alloc"])),
            _unsure(group),
            group["cache"] if by == "cache" and group["object"] else in_table(group),
            *_more_cells(group, by),
        ]
        for group in groups.to_dict("records")
    )
    write_table(out, (*COLUMNS, *MORE_COLUMNS.get(by, ())), rows)


def _more_cells(group: dict[Any, Any], by: str) -> list[str]:
    """The cells of MORE_COLUMNS."""
    if by == "process":
        pids = list(group["pids"])
        return [str(pids[0]) if len(pids) == 1 else "-", "slabtrace" if group["own"] else _names(group)]
    if by in BY_WHOSE:
        return [str(group["whose"]) or "(not known)"]
    if by == "module":
        return [str(group["module"]) or "(kernel)"]
    if by == "work":
        return [str(group["context"]) or "(not known)"]
    if by == "cache":
        return [str(group["object"])]
    return [str(group["symbol"])] if by == "call_site" else []


def _finding(group: dict[Any, Any]) -> str:
    """The finding that a group belongs to: "#1"; "" for none."""
    return f"#{group['finding']}" if group["finding"] else ""


def _growth(group: dict[Any, Any]) -> str:
    """Bytes a minute, where it is certain that they grow."""
    low = group.get("growth_low")
    return growth(group["growth_bytes_per_s"]).removesuffix("/min") if low is not None and low > 0 else "-"


def _unsure(group: dict[Any, Any]) -> str:
    """How many objects may have been freed without being seen, as a cell."""
    maybe = group["maybe_freed"]
    return "?" if unknown(maybe) else f"≤{count(maybe)}" if maybe else "0"


def _names(group: dict[Any, Any]) -> str:
    comms: Sequence[str] = list(group["comms"])
    more = f" and {len(comms) - NAMES_SHOWN} more" if len(comms) > NAMES_SHOWN else ""
    return f"{', '.join(comms[:NAMES_SHOWN]) or '?'}{more}"
