# SPDX-License-Identifier: Apache-2.0
"""`slabtrace flame`: the stacks of what is outstanding, was allocated, or came and went, as a flame graph."""

from __future__ import annotations

from pathlib import Path

import click

from slabtrace.cli import filters as filters
from slabtrace.cli.options import cache_option, trace_argument
from slabtrace.cli.output import check_new, replace
from slabtrace.cli.progress import reading
from slabtrace.errors import UsageError

FORMATS = (".html", ".svg")


@click.command("flame")
@trace_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write; .html (zoom, search) or .svg (a picture) says which.",
)
@click.option(
    "--what",
    type=click.Choice(["outstanding", "allocated", "churn"]),
    default="outstanding",
    show_default=True,
    help="What is left, all that came, or what came and went.",
)
@click.option(
    "--unit",
    type=click.Choice(["bytes", "objects"]),
    default="bytes",
    show_default=True,
    help="What makes a frame wide.",
)
@cache_option
@click.option("-f", "--force", is_flag=True, help="Overwrite FILE.")
def command(trace: str, output: Path, what: str, unit: str, caches: tuple[str, ...], force: bool) -> None:
    """Draw the stacks of a trace as a flame graph: callers above, as wide as what they hold.

    The lowest frame is the slab cache. `slabtrace export --to folded` writes the same for other
    tools.

    \b
    Examples:
      slabtrace flame boot.slab -o kept.html
      slabtrace flame boot.slab -o churn.html --what churn --unit objects
      slabtrace flame boot.slab -o dentries.svg --cache dentry
    """
    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"{output} says no format", "end it with .html or .svg")
    check_new(output, force)

    import slabtrace
    from slabtrace.render.html.flame import flame_graph
    from slabtrace.render.html.page import render

    opened = slabtrace.open(trace)
    with reading(opened):
        totals = opened.stack_totals()
        totals = filters.by_cache(totals, caches, filters.aliases(opened.caches()) if caches else {})
        completeness = opened.completeness()
    standalone = output.suffix.lower() == ".svg"
    graph = flame_graph(totals, what, unit, standalone)
    values = {"title": Path(trace).name, "what": what, "unit": unit, "graph": graph}
    page = render("flame.html", slabtrace.__version__, completeness=completeness, **values)
    replace(output, graph.svg.encode() if standalone else page)
    click.echo(f"wrote {click.format_filename(output)}", err=True)
