# SPDX-License-Identifier: Apache-2.0
"""`slabtrace report`: everything about a trace in one HTML file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slabtrace.cli.options import output_options, trace_argument
from slabtrace.cli.output import check_new, replace, say_written
from slabtrace.cli.pictures import MEMORY, PICTURES, Subject
from slabtrace.cli.progress import reading
from slabtrace.cli.source_lines import SourceLines, lines_option

if TYPE_CHECKING:
    from slabtrace.api import Trace
    from slabtrace.render.html.report import Plot, Tables

TOP = 8  # series of a plot


@click.command("report")
@trace_argument
@output_options("Where to write.", metavar="FILE.html")
@lines_option
def command(trace: str, output: Path, lines: tuple[str, ...], force: bool) -> None:
    """Write one HTML page about a trace, for a bug report.

    It begins with what was found, what would have been found, and how complete the trace is. Then come
    the findings, mismatches, each slab cache beside the kernel's own count, plots, flame graphs, and how
    the trace was recorded. The page is one file; it loads nothing, works without JavaScript, and can be
    printed.

    \b
    Examples:
      slabtrace report boot.slab -o boot.html
      slabtrace report boot.slab -o boot.html --lines /usr/lib/debug
      sudo slabtrace record -o t.slab --report t.html -- ./program
    """
    check_new(output, force)
    sources = write_report(trace, output, lines=lines)
    say_written(output)
    sources.say_note()


def write_report(trace: str, output: Path, quiet: bool = False, lines: tuple[str, ...] = ()) -> SourceLines:
    """Write the report of `trace` to the file `output`, replacing what is there.

    `lines`: as --lines has them; which frames have none is in the result.
    """
    import slabtrace
    from slabtrace.render.html.report import report

    opened = slabtrace.open(trace)
    sources = SourceLines(opened, lines)
    with reading(opened, quiet):
        opened.read_once()
        summed = opened.summed()
        tables = _tables(opened, summed, sources)
    plots = _plots(summed)
    memory = plots.pop(MEMORY)
    page = report(Path(trace).name, slabtrace.__version__, tables, list(plots.values()), memory)
    replace(output, page)
    return sources


def _tables(opened: Trace, summed: Trace, sources: SourceLines) -> Tables:
    """`summed`: the trace for tables by cache (Trace.summed())."""
    from slabtrace.analysis.mismatches.support import unsupported
    from slabtrace.render.html.report import Tables

    mismatches, inspection = opened.mismatches(), opened.manifest.inspection
    findings, arrivals, listed, stack_totals = sources.shown(
        opened.findings(), opened.arrivals(), mismatches, opened.stack_totals()
    )
    return Tables(
        usage=summed.usage(),
        manifest=opened.manifest,
        length_ns=opened.length_ns,
        marks=opened.marks(),
        completeness=opened.completeness(),
        findings=findings,
        verdict=opened.verdict(),
        leaks=opened.leaks(),
        arrivals=arrivals,
        mismatches=listed,
        unsupported=unsupported(mismatches),
        caches=summed.caches(),
        copies=summed.copies(),
        stack_totals=stack_totals,
        account=summed.account(),
        memory=summed.account_sentences(),
        lines=sources.sentence,
        inspected=opened.inspected() if inspection is not None and inspection.objects else None,
        damage=opened.damage,  # complete once events were read
    )


def _plots(opened: Trace) -> dict[str, Plot]:
    from slabtrace.render.html.inline_svg import inline
    from slabtrace.render.html.report import Plot

    subject = Subject(opened, lambda frame: frame, TOP)
    return {
        name: Plot(
            picture.heading.capitalize(), inline(partial(picture.draw, subject, ""), picture.heading, name)
        )
        for name, picture in PICTURES.items()
    }
