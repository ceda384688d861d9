# SPDX-License-Identifier: Apache-2.0
"""`slabtrace plot`: a picture of a trace, as a PNG or SVG file."""

from __future__ import annotations

import io
from pathlib import Path

import click

from slabtrace.cli import filters as filters
from slabtrace.cli.options import cache_option, trace_argument
from slabtrace.cli.output import check_new, replace
from slabtrace.cli.pictures import PICTURES, Subject
from slabtrace.cli.progress import reading
from slabtrace.errors import UsageError

FORMATS = (".png", ".svg")


@click.command("plot")
@trace_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write; .png or .svg says which.",
)
@click.option(
    "--kind",
    type=click.Choice(list(PICTURES)),
    default="usage",
    show_default=True,
    help="What to draw.",
)
@cache_option
@click.option(
    "--top",
    type=click.IntRange(1, 8),
    default=8,
    show_default=True,
    metavar="N",
    help="Draw the N caches, or call sites, that moved most.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite FILE.")
def command(trace: str, output: Path, kind: str, caches: tuple[str, ...], top: int, force: bool) -> None:
    """Draw a trace: each slab cache's usage over time, or another kind of picture.

    \b
    usage          bytes and objects of the caches that moved most, on the kernel's own baseline;
                   the grey area behind a cache's objects is what its slabs have room for
    rates          allocations and frees a second
    fragmentation  what slab pages are used for: asked for, rounded up, free
    lifetimes      how long objects lived
    sizes          allocations by size over time, as a heat map
    call-sites     who holds what was allocated while recording, over time

    Times when events were lost are shaded, marks are dashed lines.

    \b
    Examples:
      slabtrace plot boot.slab -o usage.png
      slabtrace plot boot.slab -o pipes.svg --cache 'kmalloc-cg-*' --cache filp
      slabtrace plot boot.slab -o who.png --kind call-sites
    """
    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"{output} says no picture format", "end it with .png or .svg")
    picture = PICTURES[kind]
    if caches and not picture.by_cache:
        raise UsageError(f"--cache cannot choose what --kind {kind} shows", "leave it out")
    check_new(output, force)

    import slabtrace
    from slabtrace.render.plots.canvas import save

    opened = slabtrace.open(trace)
    with reading(opened):
        opened.usage()
        known = filters.aliases(opened.caches()) if caches else {}
    subject = Subject(opened, lambda frame: filters.by_cache(frame, caches, known), top)
    title = _title(trace, picture.heading, opened.manifest.host.release)
    content = io.BytesIO()
    save(lambda: picture.draw(subject, title), content, output.suffix.lower()[1:])
    replace(output, content.getvalue())
    click.echo(f"wrote {click.format_filename(output)}", err=True)


def _title(trace: str, heading: str, release: str) -> str:
    return f"{Path(trace).name}: {heading}" + (f" on Linux {release}" if release else "")
