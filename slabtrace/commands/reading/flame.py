# SPDX-License-Identifier: Apache-2.0
"""`slabtrace flame`: the stacks of outstanding, allocated or freed objects as a flame graph."""

from __future__ import annotations

from pathlib import Path

import click

from slabtrace.cli import filters
from slabtrace.cli.options import cache_option, measure_options, output_options, trace_argument
from slabtrace.cli.output import check_new, check_suffix, replace, say_written
from slabtrace.cli.progress import reading
from slabtrace.cli.source_lines import SourceLines, lines_option

FORMATS = (".html", ".svg")


@click.command("flame")
@trace_argument
@output_options("Where to write; the name ends with .html (zoom, search) or .svg (a picture).")
@measure_options()
@cache_option
@lines_option
def command(
    trace: str,
    output: Path,
    what: str,
    unit: str,
    caches: tuple[str, ...],
    lines: tuple[str, ...],
    force: bool,
) -> None:
    """Draw the stacks of a trace as a flame graph.

    Callers are above what they call, and the lowest frame is the slab cache. A frame is as wide as
    the bytes or objects of it and of all it called. `slabtrace export --to folded` writes the same
    for other tools.

    \b
    Examples:
      slabtrace flame boot.slab -o kept.html
      slabtrace flame boot.slab -o churn.html --what churn --unit objects
      slabtrace flame boot.slab -o dentries.svg --cache dentry
      slabtrace flame boot.slab -o kept.html --lines /usr/lib/debug
    """
    check_suffix(output, FORMATS)
    check_new(output, force)

    import slabtrace
    from slabtrace.render.html.flame import flame_graph
    from slabtrace.render.html.page import render
    from slabtrace.render.terminal.verdict import short_verdict

    opened = slabtrace.open(trace)
    sources = SourceLines(opened, lines)
    with reading(opened):
        totals = filters.chooser(opened, caches)(opened.stack_totals())
        verdict = short_verdict(opened.completeness(), trace)
    (totals,) = sources.shown(totals)
    standalone = output.suffix.lower() == ".svg"
    graph = flame_graph(totals, what, unit, standalone)
    values = {"title": Path(trace).name, "what": what, "unit": unit, "graph": graph}
    page = render(
        "flame.html", slabtrace.__version__, exact=opened.completeness().exact, verdict=verdict, **values
    )
    replace(output, graph.svg.encode() if standalone else page)
    say_written(output)
    sources.say_note()
