# SPDX-License-Identifier: Apache-2.0
"""`slabtrace mismatches`: frees that contradict earlier events."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.options import cache_option, trace_argument
from slabtrace.cli.progress import watched
from slabtrace.cli.source_lines import SourceLines, lines_option
from slabtrace.columns import MISMATCHES
from slabtrace.errors import FOUND

if TYPE_CHECKING:
    import pandas as pd

LIMIT = 10
WATCHES_COMPLAINTS = "on_wrong_cache_free"  # the program of bpf/silent.h


@click.command("mismatches")
@trace_argument
@cache_option
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also list those that missed events explain.",
)
@lines_option
@answer_options(LIMIT)
def command(trace: str, caches: tuple[str, ...], everything: bool, lines: tuple[str, ...], form: Form) -> int:
    """Show double frees, frees inside an object, and frees to the wrong cache: exit code 1 if there are any.

    Each finding shows the object's allocation and its frees: time, CPU, task and stack. A missed
    allocation between two frees looks like a double free. What missed events explain is not listed,
    but counted in one line with the cause. Confirmed findings come first.

    \b
    Examples:
      slabtrace mismatches boot.slab
      slabtrace mismatches boot.slab --cache filp --all
      slabtrace mismatches boot.slab --lines ./my_module.ko
      slabtrace mismatches boot.slab --json | jq '.findings | length'
    """
    import slabtrace
    from slabtrace.analysis.mismatches.support import unsupported
    from slabtrace.render.terminal.mismatches import write_mismatches, write_unseen_kind, write_unsupported

    opened = watched(slabtrace.open(trace))
    sources = SourceLines(opened, lines)
    choose = filters.chooser(opened, caches)
    findings = choose(opened.mismatches())
    supported, others = findings[findings["supported"].astype(bool)], unsupported(findings)

    def write(out: TextIO, shown: pd.DataFrame) -> None:
        write_mismatches(out, *sources.shown(shown))

    def notes(out: TextIO) -> None:
        sources.write_note(out)
        if not everything:
            write_unsupported(out, *others)
        if WATCHES_COMPLAINTS not in opened.manifest.coverage.attached:
            write_unseen_kind(out)

    rows = Rows(MISMATCHES, findings if everything else supported, "finding")
    more = {"unsupported": {"count": others.number, "cause": others.cause}}
    if form.as_json:
        more |= sources.json(rows.frame if form.most is None else rows.frame.head(form.most))
    answer(form, "mismatches", trace, opened, rows, write, more, notes)
    return 0 if supported.empty else FOUND
