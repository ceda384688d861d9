# SPDX-License-Identifier: Apache-2.0
"""`slabtrace leaks`: what leaks, and what else was allocated and never freed, as findings or groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.chosen import Chosen, cards_first, findings_chosen, groups_chosen, in_order
from slabtrace.cli.opening import moment, open_trace, window_options
from slabtrace.cli.options import (
    cache_option,
    call_site_option,
    copies_option,
    sort_option,
    task_options,
    trace_argument,
)
from slabtrace.cli.source_lines import SourceLines, lines_option
from slabtrace.cli.toml_files import read_suppressions, suppressions_option
from slabtrace.columns import FINDINGS, LEAKS, OBJECTS, OLDEST
from slabtrace.errors import UsageError
from slabtrace.render import json

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.rules.suppressions import Suppressions
    from slabtrace.api import Trace

LIMIT = 10
MOST_OBJECTS = 1000  # of each finding
BY = [
    "stack", "call-site", "module", "process", "command", "cgroup", "unit", "container", "charged", "work",
    "cache",
]  # fmt: skip
CLASSES = ["suspect", "growing", "replacing", "retained", "young", "reclaimable"]


@click.command("leaks")
@trace_argument
@click.option(
    "--by",
    type=click.Choice(BY),
    callback=lambda context, parameter, value: value and value.replace("-", "_"),
    help="List groups of the objects of each cache by this, instead of findings.",
)
@sort_option(
    ["rank", "growth", "bytes", "objects", "age"],
    "rank",
    "Sort by this, largest or oldest first; rank: suspects first.",
)
@cache_option
@call_site_option
@task_options
@click.option(
    "--min-outstanding",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Only what has at least N objects outstanding; of a finding, N owners.",
)
@click.option(
    "--class", "classes", multiple=True, type=click.Choice(CLASSES), help="Only of this class, with reasons."
)
@click.option(
    "--between",
    nargs=2,
    metavar="MARK MARK",
    help="Only objects allocated between two marks (or times) and not freed by the end.",
)
@click.option(
    "--objects",
    type=click.IntRange(1, MOST_OBJECTS),
    metavar="N",
    help="List the N oldest objects of each finding, with lines for drgn and crash.",
)
@click.option("--own", is_flag=True, help="Show slabtrace's own objects too. JSON always has them.")
@copies_option
@suppressions_option
@lines_option
@window_options
@answer_options(LIMIT)
def command(
    trace: str,
    by: str | None,
    sort: str,
    caches: tuple[str, ...],
    call_site: str | None,
    pids: tuple[int, ...],
    comms: tuple[str, ...],
    cgroups: tuple[str, ...],
    min_outstanding: int,
    classes: tuple[str, ...],
    between: tuple[str, str] | None,
    objects: int | None,
    own: bool,
    copies: bool,
    suppressions: str | None,
    lines: tuple[str, ...],
    begin: str | None,
    end: str | None,
    form: Form,
) -> None:
    """Show what leaks, and what else was allocated while recording and not freed by its end.

    Outstanding is not yet leaked. A finding is an owner and what comes with it, one with one: a leaked
    socket is one finding of some caches. Each finding has a class:

    \b
    suspect       keeps coming, nobody frees it, and the cache grew by it
    growing       certainly more than before, but not certainly a leak: record longer
    replacing     as many older objects were freed as new ones stay
    retained      came once, in bursts, or no longer comes
    young         too new, or too few, to judge
    reclaimable   the kernel can free these very objects when memory is short

    Suspects and growing findings come first, by their least certain growth, then those that are lost (nothing
    points at the objects any more), each with its reasons and the stack of its owner. The others follow as a
    table, by bytes; --class NAME shows reasons for them too. The end says what was found, and the least leak
    that this recording would have found.

    The kernel merges similar caches, so each is shown with what is in it, as far as who allocated the
    objects says it.

    With --by, groups of one cache are listed instead; `finding` is the number of the finding that a group
    belongs to. `unsure` is how many of the objects may have been freed without being seen (0: confirmed,
    ?: not known, because some frees cannot be traced). By work: a task, softirq, timer, work item, …
    By charged: the memory cgroup that is charged, read from the slabs at the end; not always that of the
    task.

    \b
    Examples:
      slabtrace leaks boot.slab
      slabtrace leaks boot.slab --class retained --sort bytes
      slabtrace leaks boot.slab --cache 'kmalloc-*' --min-outstanding 100
      slabtrace leaks boot.slab --symbol 'nf_conntrack|\\[my_module\\]'
      slabtrace leaks boot.slab --pid 4321 --by call-site
      slabtrace leaks boot.slab --cgroup '/system.slice/nginx.service'
      slabtrace leaks boot.slab --between "before login" "after logout"
      slabtrace leaks boot.slab --class suspect --objects 3
      slabtrace leaks boot.slab --lines /usr/lib/debug
      slabtrace leaks boot.slab --json | jq '.findings[0].stack'
    """
    opened = open_trace(trace, begin, end)
    if by is not None and objects is not None:
        raise UsageError("--objects lists objects of findings, not of groups", "leave out --by")
    sources = SourceLines(opened, lines)
    rules = read_suppressions(suppressions)
    filters.check_tasks(opened, pids, comms, cgroups)
    summed = by == "cache" and not copies and not form.as_json
    times = None if between is None else (moment(opened, between[0]), moment(opened, between[1]))
    chosen = Chosen(
        by, sort, caches, call_site, pids, comms, min_outstanding, classes, times, objects, summed, cgroups
    )
    if form.as_json:
        _print_json(trace, opened, chosen, rules, sources, form)
    elif by is None:
        _print_findings(trace, opened, chosen, rules, own, sources, form)
    else:
        _print_groups(trace, opened, chosen, rules, own, sources, form)


def _print_findings(
    path: str,
    opened: Trace,
    chosen: Chosen,
    rules: Suppressions,
    own: bool,
    sources: SourceLines,
    form: Form,
) -> None:
    from slabtrace.render.terminal.check import write_suppressed
    from slabtrace.render.terminal.outstanding.findings import (
        GROWS,
        Shown,
        write_conclusion,
        write_findings,
        write_note,
    )
    from slabtrace.render.terminal.outstanding.leaks import write_own

    everything = opened.findings(**chosen.question)
    asked = findings_chosen(opened, everything, chosen)
    findings, used = rules.apply(cards_first(asked, chosen.sort, chosen.classes or GROWS))
    hidden = findings[findings["own"].astype(bool) & (not own)]
    others = everything.drop(asked.index)
    rows = Rows(FINDINGS, findings.drop(hidden.index), "finding")
    listing = Shown(
        opened.length_ns, opened.completeness(), CLASSES if chosen.objects else chosen.classes or GROWS,
        len(hidden), len(others), int((others["class"] == "suspect").sum()),
        _oldest(opened, rows.frame if form.most is None else rows.frame.head(form.most), chosen),
        *inspected(opened, **chosen.question),
    )  # fmt: skip

    def notes(out: TextIO) -> None:
        sources.write_note(out)
        write_own(out, hidden, "finding")
        write_suppressed(out, used, "finding")
        if chosen.objects:
            write_note(out, opened.manifest.redacted)
        write_conclusion(out, opened.verdict(**chosen.question), listing)

    def write(out: TextIO, shown: pd.DataFrame) -> None:
        (shown,) = sources.shown(shown)
        write_findings(out, shown, listing)

    answer(form, "leaks", path, opened, rows, write, None, notes)


def _print_groups(
    path: str,
    opened: Trace,
    chosen: Chosen,
    rules: Suppressions,
    own: bool,
    sources: SourceLines,
    form: Form,
) -> None:
    from slabtrace.render.terminal.caches import write_copies
    from slabtrace.render.terminal.check import write_suppressed
    from slabtrace.render.terminal.outstanding.leaks import Listing, write_leaks, write_own

    everything, groups, used = groups_chosen(opened, chosen, rules)
    hidden = groups[groups["own"].astype(bool) & (not own)]
    others = len(everything) - len(groups)
    listing = Listing(chosen.by or "stack", opened.length_ns, others, opened.completeness(), len(hidden))

    def notes(out: TextIO) -> None:
        sources.write_note(out)
        if chosen.summed:
            write_copies(out, opened.summed().copies(), groups["cache"])
        write_own(out, hidden)
        write_suppressed(out, used)

    def write(out: TextIO, shown: pd.DataFrame) -> None:
        (shown,) = sources.shown(shown)
        write_leaks(out, shown, listing)

    rows = Rows(LEAKS, groups.drop(hidden.index), "group")
    answer(form, "leaks", path, opened, rows, write, None, notes)


def _oldest(opened: Trace, findings: pd.DataFrame, chosen: Chosen) -> pd.DataFrame | None:
    """The objects to list; None: none were asked for."""
    if chosen.objects is None:
        return None
    return opened.oldest(chosen.objects, findings["rank"].tolist(), **chosen.question)


def inspected(opened: Trace, **question: Any) -> tuple[pd.DataFrame | None, str]:
    """The objects that were inspected, None where none was, and where was searched for their holders."""
    from slabtrace.analysis.holders.classes import searched_words

    account = opened.manifest.inspection
    if account is None or not account.objects:
        return None, ""
    return opened.inspected(**question), searched_words(account.searched)


def _print_json(
    path: str, opened: Trace, chosen: Chosen, rules: Suppressions, sources: SourceLines, form: Form
) -> None:
    """Findings, the verdict on all of them, and groups; `suppressed` counts findings."""
    verdict = opened.verdict(**chosen.question)
    everything = opened.findings(**chosen.question)
    findings, used = rules.apply(in_order(findings_chosen(opened, everything, chosen), chosen.sort))
    _, groups, _ = groups_chosen(opened, chosen, rules)
    shown = findings if form.most is None else findings.head(form.most)
    listed = json.rows(shown, FINDINGS)
    if (oldest := _oldest(opened, shown, chosen)) is not None:
        of_finding = dict(list(oldest.groupby("finding")))
        listed = [
            {**row, "oldest": json.rows(of_finding.get(row["rank"], oldest.head(0)), OLDEST)}
            for row in listed
        ]
    more = {
        "by": chosen.by or "stack",
        "suppressed": used,
        "verdict": verdict,
        **sources.json(shown, groups if form.most is None else groups.head(form.most)),
        FINDINGS.json_list: listed,
        **_inspected_json(opened, chosen),
        **({"addresses_made_up": opened.manifest.redacted} if chosen.objects else {}),
    }
    answer(form, "leaks", path, opened, Rows(LEAKS, groups, "group"), lambda out, shown: None, more)


def _inspected_json(opened: Trace, chosen: Chosen) -> dict[str, object]:
    """The inspected objects, and the account of the inspection; null where there was none."""
    frame, _ = inspected(opened, **chosen.question)
    listed = [] if frame is None else json.rows(frame, OBJECTS)
    return {OBJECTS.json_list: listed, "inspection": json.plain(opened.manifest.inspection)}
