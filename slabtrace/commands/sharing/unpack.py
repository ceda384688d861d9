# SPDX-License-Identifier: Apache-2.0
"""`slabtrace unpack`: the folder of a packed trace, for tools that read Arrow files."""

from __future__ import annotations

from pathlib import Path

import click

from slabtrace.cli.options import trace_argument
from slabtrace.cli.output import new_folder
from slabtrace.errors import UsageError


@click.command()
@trace_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to write (default: FILE without its .zip).",
)
def command(trace: str, output: Path | None) -> None:
    """Unpack a packed trace into a folder.  slabtrace itself reads both; other tools need the folder.

    \b
    Examples:
      slabtrace unpack boot.slab.zip                   # writes boot.slab
      slabtrace unpack boot.slab.zip -o /tmp/t.slab
    """
    from slabtrace.trace.files.files import unpack
    from slabtrace.trace.reading.reader import TraceReader

    packed = Path(trace)
    if packed.is_dir():
        raise UsageError(f"{packed} is a folder already")
    TraceReader(packed)  # raises TraceError if it is not a trace
    folder = output or packed.with_suffix("")
    try:
        with new_folder(folder) as place:
            unpack(packed, place)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    click.echo(folder)
