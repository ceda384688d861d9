# SPDX-License-Identifier: Apache-2.0
"""The text of `slabtrace leaks`: findings, what grows as cards, the rest as a table, then the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from slabtrace.analysis.freeing.words import allocated_in, siblings
from slabtrace.analysis.holders.classes import LOST, PROCESS
from slabtrace.analysis.leaks.findings import cards
from slabtrace.analysis.names.objects import in_table
from slabtrace.render.terminal.outstanding.inspected import write_inspected
from slabtrace.render.terminal.outstanding.leaks import by_whom, nearly_all, of_all
from slabtrace.render.terminal.outstanding.who import identity
from slabtrace.render.terminal.sampling import stack_of
from slabtrace.render.terminal.text import Column, escape, name_column, write_paragraph, write_table
from slabtrace.render.terminal.verdict import claim
from slabtrace.units import count, duration, growth, plural, size

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.leaks.verdict import Verdict
    from slabtrace.analysis.trust.completeness import Completeness

GROWS = ("suspect", "growing")
IN_HEADLINE = {LOST: "lost", PROCESS: "held by a process"}
CACHES_SHOWN = 4  # of a finding; the rest are only counted
COLUMNS = (
    Column("#"),
    Column("class", right=False),
    Column("objects"),
    Column("bytes"),
    name_column("cache"),
    name_column("call site"),
    Column("pid"),
    name_column("by"),
)

MADE_UP = "the addresses of objects are made up, because the trace is redacted"
BY_NOW = "objects may be freed by now: `kmem -s ADDRESS` in crash, identify_address() in drgn say whether"


class Shown(NamedTuple):
    """How findings are listed.

    `ended_ns`: when the recording ended, ns since its start; `cards`: the classes of which each finding is a
    card, as each is that is lost; `own`: how many findings of slabtrace itself are not listed; `others`:
    those that filters left out, and `suspects`, how many of these are suspects; `oldest`: objects to list in
    cards (Trace.oldest()); `inspected`: what objects are (Trace.inspected()), and where was `searched` for
    their holders.
    """

    ended_ns: int
    completeness: Completeness
    cards: Sequence[str] = GROWS
    own: int = 0
    others: int = 0
    suspects: int = 0
    oldest: pd.DataFrame | None = None
    inspected: pd.DataFrame | None = None
    searched: str = ""


def write_findings(out: TextIO, findings: pd.DataFrame, shown: Shown) -> None:
    """Write `findings` (rows of Trace.findings()) in their order: cards first, then the others as a table."""
    if findings.empty:
        out.write(f"{_nothing(shown)}\n")
        return
    carded = cards(findings, shown.cards)
    for number, finding in enumerate(findings[carded].to_dict("records")):
        out.write("\n" if number else "")
        write_card(out, finding, shown)
    if carded.any() and not carded.all():
        out.write("\nothers:\n")
    if not carded.all():
        write_table(out, COLUMNS, [_cells(each) for each in findings[~carded].to_dict("records")])


def write_card(out: TextIO, finding: dict[Any, Any], shown: Shown) -> None:
    """One finding: what it is, how much, why, the owner's stack, by whom, how sure, and what next."""
    write_paragraph(out, f"#{finding['rank']} {headline(finding)}")
    write_paragraph(out, f"   {amount(finding)}; {_since(finding, shown.ended_ns)}")
    write_paragraph(out, f"   {finding['why']}")
    out.writelines(f"    {escape(frame)}\n" for frame in list(finding["stack"]) or [finding["symbol"]])
    if sampled := owner_stack_of(finding):
        write_paragraph(out, f"  ({sampled})")
    if freed := siblings(finding):
        write_paragraph(out, f"  {freed}")
    write_paragraph(out, f"  {by_whom(finding)}; {claim_of_all(finding, shown.completeness)}")
    if who := identity(finding):
        write_paragraph(out, f"  {who}")
    if shown.inspected is not None:
        write_inspected(out, shown.inspected, finding, shown.searched)
    if shown.oldest is not None:
        write_oldest(out, shown.oldest, finding)
    if finding["next"]:
        write_paragraph(out, f"  next: {finding['next']}")


def write_oldest(out: TextIO, oldest: pd.DataFrame, finding: dict[Any, Any]) -> None:
    """Write the rows of `oldest` (Trace.oldest()) that are of `finding`: three lines each."""
    mine = oldest[oldest["finding"] == finding["rank"]].to_dict("records")
    out.write(f"  oldest {count(len(mine))} of {count(finding['outstanding'])}:\n")
    for each in mine:
        out.write(f"    {escape(_object(each))}\n")
        out.writelines(f"      {tool}: {escape(each[tool])}\n" for tool in ("drgn", "crash") if each[tool])


def write_note(out: TextIO, redacted: bool) -> None:
    """Write what holds for all these objects."""
    write_paragraph(out, MADE_UP if redacted else BY_NOW)


def write_conclusion(out: TextIO, verdict: Verdict, shown: Shown) -> None:
    """Write what filters left out of the list, and the sentences of the verdict."""
    if shown.others:
        suspects = f" ({plural(shown.suspects, 'suspect')})" if shown.suspects else ""
        write_paragraph(out, f"left out by the filters: {plural(shown.others, 'finding')}{suspects}")
    write_sentences(out, verdict)


def write_sentences(out: TextIO, verdict: Verdict) -> None:
    """Write, after an empty line, the sentences of the verdict."""
    out.write("\n")
    for sentence in verdict.sentences:
        write_paragraph(out, sentence)


def headline(finding: dict[Any, Any]) -> str:
    """As "suspect, lost, 213.3 KiB/min: TCP + sock_inode_cache + filp + dentry + 2 more"."""
    rate = f", {growth(finding['growth_bytes_per_s'])}" if finding["class"] in GROWS else ""
    held = IN_HEADLINE.get(str(finding.get("held", "")), "")
    return f"{finding['class']}{held and f', {held}'}{rate}: {caches(finding)}"


def caches(finding: dict[Any, Any]) -> str:
    """The caches of a finding's parts and what is in them, the owner's first: "TCP (TCP sockets) + filp"."""
    every: Sequence[str] = list(finding["parts"])
    more = [f"{len(every) - CACHES_SHOWN} more"] if len(every) > CACHES_SHOWN else []
    return " + ".join([*every[:CACHES_SHOWN], *more])


def amount(finding: dict[Any, Any]) -> str:
    """How much a finding is: "60 × 3.6 KiB = 213.3 KiB in 360 objects"."""
    whole = size(finding["bytes_alloc"])
    parts = f" in {count(finding['objects'])} objects" if finding["objects"] != finding["outstanding"] else ""
    each = f"{count(finding['outstanding'])} × {size(finding['bytes_each'])} = {whole}{parts}"
    return f"{each}{of_all(finding)}"


def owner_stack_of(finding: dict[Any, Any]) -> str:
    """How many owners have the stack shown: see sampling.stack_of.

    The stacks were counted over the group that the owners are of, which may hold more objects.
    """
    return stack_of({**finding, "outstanding": finding["allocated"] - finding["freed"]})


def claim_of_all(finding: dict[Any, Any], completeness: Completeness) -> str:
    """How sure it is that the objects of all parts were not freed."""
    return claim({**finding, "outstanding": finding["objects"]}, completeness)


def _object(each: dict[Any, Any]) -> str:
    """As "0xffff888004205500, 40.5 s old, 1.1 KiB, python (tid 28323), in use at the end"."""
    task = f"{each['comm']} (tid {each['tid']})" if each["comm"] else f"tid {each['tid']}"
    parts = [f"{each['ptr']:#x}", f"{duration(each['age_ns'])} old", size(each["bytes_alloc"]), task]
    return ", ".join([*parts, *(["in use at the end"] if each["in_use"] else [])])


def _since(finding: dict[Any, Any], ended_ns: int) -> str:
    freed = f"{count(finding['freed'])} of {count(finding['allocated'])} freed"
    return f"{freed}; oldest {duration(ended_ns - finding['oldest_ns'])}"


def _nothing(shown: Shown) -> str:
    if shown.completeness.no_leak_list:
        return "no list of leaks: the recording does not support one"
    if shown.others:
        return "none of this kind"
    if shown.own:
        return "nothing outstanding except objects of slabtrace itself"
    return "nothing outstanding: every allocation that was seen was also freed"


def _cells(finding: dict[Any, Any]) -> list[str]:
    sampled = "outstanding_estimate" in finding
    return [
        str(finding["rank"]),
        finding["class"],
        f"~{count(finding['outstanding_estimate'])}" if sampled else count(finding["objects"]),
        size(finding["bytes_estimate"] if sampled else finding["bytes_alloc"]),
        in_table(finding),
        finding["symbol"],
        *_by(finding),
    ]


def _by(finding: dict[Any, Any]) -> tuple[str, str]:
    """(pid, name) of who allocated: ("4321", "nginx"), ("22 pids", "make, …"), ("-", "softirq NET_RX")."""
    if finding["own"]:
        return "-", "slabtrace"
    if allocated_in(finding.get("context", "")):
        return "-", str(finding["context"])
    comms: Sequence[str] = list(finding["comms"])
    pids: Sequence[int] = list(finding["pids"])
    one = len(pids) == 1 or nearly_all(finding)[0] > 0
    name = f"{comms[0] if comms else '?'}{', …' if len(comms) > 1 and not one else ''}"
    return (str(pids[0]) if one else f"{len(pids)} pids" if pids else "-"), name
