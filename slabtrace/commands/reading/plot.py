# SPDX-License-Identifier: Apache-2.0
"""`slabtrace plot`: a picture of a trace, as a PNG or SVG file."""

from __future__ import annotations

import io
from pathlib import Path

import click

from slabtrace.cli import filters
from slabtrace.cli.options import cache_option, choice_option, copies_option, output_options, trace_argument
from slabtrace.cli.output import check_new, check_suffix, replace, say_written
from slabtrace.cli.pictures import PICTURES, Subject
from slabtrace.cli.progress import reading
from slabtrace.errors import UsageError

FORMATS = (".png", ".svg")


@click.command("plot")
@trace_argument
@output_options("Where to write; the name ends with .png or .svg.")
@choice_option("--kind", choices=list(PICTURES), default="usage", help="What to draw.")
@cache_option
@click.option(
    "--top",
    type=click.IntRange(1, 8),
    default=8,
    show_default=True,
    metavar="N",
    help="Draw the N caches, or call sites, that changed most.",
)
@copies_option
def command(
    trace: str, output: Path, kind: str, caches: tuple[str, ...], top: int, copies: bool, force: bool
) -> None:
    """Draw a trace: each slab cache's usage over time, or another kind of picture.

    \b
    usage          bytes and objects of the caches that changed most; the kernel's own count is
                   where they start, and the grey area is the room that a cache's slabs have
    rates          allocations and frees a second
    fragmentation  what slab pages are used for: bytes asked for, rounded up, free
    lifetimes      how long objects lived
    sizes          allocations by size over time, as a heat map
    call-sites     outstanding objects over time, by the call site that allocated them
    memory         all memory of the machine by what it is used for, slab or not

    Times at which events were lost are shaded; marks are dashed lines.

    \b
    Examples:
      slabtrace plot boot.slab -o usage.png
      slabtrace plot boot.slab -o pipes.svg --cache 'kmalloc-cg-*' --cache filp
      slabtrace plot boot.slab -o who.png --kind call-sites
    """
    check_suffix(output, FORMATS)
    picture = PICTURES[kind]
    if caches and not picture.by_cache:
        raise UsageError(f"--cache does not apply to --kind {kind}", "leave it out")
    check_new(output, force)

    import slabtrace
    from slabtrace.render.plots.canvas import save

    opened = slabtrace.open(trace)
    opened = opened if copies else opened.summed()
    with reading(opened):
        opened.usage()
        chosen = filters.chooser(opened, caches)
    subject = Subject(opened, chosen, top)
    title = _title(trace, picture.heading, opened.manifest.host.release)
    content = io.BytesIO()
    save(lambda: picture.draw(subject, title), content, output.suffix.lower()[1:])
    replace(output, content.getvalue())
    say_written(output)


def _title(trace: str, heading: str, release: str) -> str:
    return f"{Path(trace).name}: {heading}" + (f" on Linux {release}" if release else "")
