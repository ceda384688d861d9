# SPDX-License-Identifier: Apache-2.0
"""`slabtrace plot`: each slab cache's usage over time, as a PNG or SVG file."""

from __future__ import annotations

import io
from pathlib import Path

import click

from slabtrace.commands import _filters as filters
from slabtrace.commands._options import cache_option, trace_argument
from slabtrace.commands._output import check_new, replace
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
@cache_option
@click.option(
    "--top",
    type=click.IntRange(1, 8),
    default=8,
    show_default=True,
    metavar="N",
    help="Draw the N caches whose bytes moved most.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite FILE.")
def command(trace: str, output: Path, caches: tuple[str, ...], top: int, force: bool) -> None:
    """Draw each slab cache's usage over time: bytes and objects, on the kernel's own baseline.

    The caches that moved most are drawn. The grey area behind a cache's objects is what its slabs
    have room for.

    \b
    Examples:
      slabtrace plot boot.slab -o usage.png
      slabtrace plot boot.slab -o pipes.svg --cache 'kmalloc-cg-*' --cache filp
    """
    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"{output} says no picture format", "end it with .png or .svg")
    check_new(output, force)

    import slabtrace
    from slabtrace.render.plots import draw_usage

    opened = slabtrace.open(trace)
    known = filters.aliases(opened.caches()) if caches else {}
    usage = filters.by_cache(opened.usage(), caches, known)
    picture = io.BytesIO()
    draw_usage(usage, _title(trace, opened.manifest.host.release), picture, output.suffix.lower()[1:], top)
    replace(output, picture.getvalue())
    click.echo(f"wrote {click.format_filename(output)}", err=True)


def _title(trace: str, release: str) -> str:
    return f"{Path(trace).name}: slab usage" + (f" on Linux {release}" if release else "")
