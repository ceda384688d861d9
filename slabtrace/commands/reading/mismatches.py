# SPDX-License-Identifier: Apache-2.0
"""`slabtrace mismatches`: frees that contradict earlier events."""

from __future__ import annotations

from typing import TextIO

import click

from slabtrace.cli import filters
from slabtrace.cli.answer import Form, Rows, answer, answer_options
from slabtrace.cli.options import cache_option, trace_argument
from slabtrace.cli.progress import watched
from slabtrace.columns import MISMATCHES

LIMIT = 10
WATCHES_COMPLAINTS = "on_wrong_cache_free"  # the program of bpf/silent.h


@click.command("mismatches")
@trace_argument
@cache_option
@answer_options(LIMIT)
def command(trace: str, caches: tuple[str, ...], form: Form) -> None:
    """Show double frees, frees inside an object, and frees to the wrong cache.

    Each finding shows the object's allocation and its frees: time, CPU, task and stack. A missed
    allocation between two frees looks like a double free; each finding says whether events can have
    been missed. Confirmed findings come first.

    \b
    Examples:
      slabtrace mismatches boot.slab
      slabtrace mismatches boot.slab --cache filp
      slabtrace mismatches boot.slab --json | jq '.findings | length'
    """
    import slabtrace
    from slabtrace.render.terminal.mismatches import write_mismatches, write_unseen_kind

    opened = watched(slabtrace.open(trace))
    choose = filters.chooser(opened, caches)

    def notes(out: TextIO) -> None:
        if WATCHES_COMPLAINTS not in opened.manifest.coverage.attached:
            write_unseen_kind(out)

    rows = Rows(MISMATCHES, choose(opened.mismatches()), "finding")
    answer(form, "mismatches", trace, opened, rows, write_mismatches, notes=notes)
