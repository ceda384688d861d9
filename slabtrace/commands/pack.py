# SPDX-License-Identifier: Apache-2.0
"""`slabtrace pack`: one file of a trace's folder, to send or to keep."""

from __future__ import annotations

from pathlib import Path

import click

from slabtrace.commands._options import trace_argument
from slabtrace.commands._output import check_new, replacing
from slabtrace.errors import UsageError


@click.command()
@trace_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write (default: the folder's name and .zip, beside it).",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite FILE.")
def command(trace: str, output: Path | None, force: bool) -> None:
    """Pack a trace into one file, which every command reads as it reads the folder.

    It is a ZIP archive, for others' eyes no more than the folder is: a trace tells names of
    processes, and addresses of the kernel.

    \b
    Examples:
      slabtrace pack boot.slab                 # writes boot.slab.zip
      slabtrace leaks boot.slab.zip
      slabtrace unpack boot.slab.zip
    """
    from slabtrace.trace.files import pack
    from slabtrace.trace.reader import TraceReader

    folder = Path(trace)
    if folder.is_file():
        raise UsageError(f"{folder} is packed already")
    TraceReader(folder)  # raises what makes it no trace
    packed = output or folder.resolve().with_name(f"{folder.resolve().name}.zip")
    check_new(packed, force)
    try:
        with replacing(packed, mode=0o600) as file:
            pack(folder, file)
    except OSError as error:
        raise UsageError(f"{packed} cannot be written: {error.strerror}") from error
    click.echo(packed)
