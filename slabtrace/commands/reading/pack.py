# SPDX-License-Identifier: Apache-2.0
"""`slabtrace pack`: one file of a trace's folder, to send or to keep; --redact: to show to strangers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from slabtrace.cli.options import trace_argument
from slabtrace.cli.output import check_new, replacing
from slabtrace.errors import UsageError


@click.command()
@trace_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write (default: the folder's name and .zip, beside it; redacted: .redacted.slab.zip).",
)
@click.option("--redact", is_flag=True, help="Make up what tells of the machine, its user and workload.")
@click.option("-f", "--force", is_flag=True, help="Overwrite FILE.")
def command(trace: str, output: Path | None, redact: bool, force: bool) -> None:
    """Pack a trace into one file, which every command reads as it reads the folder.

    It is a ZIP archive, for others' eyes no more than the folder is: a trace tells names of
    processes, and addresses of the kernel.

    With --redact it can be shown to strangers. Every command finds in it what it finds in the trace,
    under made-up addresses, numbers of processes and threads, and names of tasks (task-1), the same for
    the same everywhere; groups alike in all numbers may change places.

    \b
    Left out       hostname, build id, version and text address of the kernel, time of day,
                   words of the command, texts of marks, the reason of a recording's failure;
                   the memory's size is rounded up to a power of two
    Still in it    function names with offsets; modules; names of slab caches (of devices too, if the
                   kernel has them there; not of memory cgroups, nor addresses); sizes; time since boot;
                   release, number and nodes of CPUs; options but for pid and comm; slabinfo; losses;
                   the order of addresses, and where in a block of 4 MiB (1,024 pages) each lies

    \b
    Examples:
      slabtrace pack boot.slab                 # writes boot.slab.zip
      slabtrace leaks boot.slab.zip
      slabtrace unpack boot.slab.zip
      slabtrace pack boot.slab --redact        # writes boot.redacted.slab.zip
    """
    from slabtrace.trace.files.files import pack
    from slabtrace.trace.reading.reader import TraceReader

    place = Path(trace)
    if place.is_file() and not redact:
        raise UsageError(f"{place} is packed already")
    TraceReader(place)  # raises what makes it no trace
    packed = output or _beside(place.resolve(), redact)
    check_new(packed, force)
    try:
        copied = _redacted(place, packed) if redact else nullcontext(place)
        with copied as folder, replacing(packed, mode=0o600) as file:
            pack(folder, file)
    except OSError as error:
        raise UsageError(f"{packed} cannot be written: {error.strerror}") from error
    click.echo(packed)


def _beside(place: Path, redact: bool) -> Path:
    """What to write if the user does not say."""
    if not redact:
        return place.with_name(f"{place.name}.zip")
    return place.with_name(f"{place.name.removesuffix('.zip').removesuffix('.slab')}.redacted.slab.zip")


@contextmanager
def _redacted(trace: Path, packed: Path) -> Iterator[Path]:
    """A redacted copy of the trace, beside what is to be written, while it is needed."""
    from slabtrace.trace.redaction.redact import redact
    from slabtrace.trace.writing.writer import WriteError

    with tempfile.TemporaryDirectory(prefix=f".{packed.name}.", dir=packed.parent) as name:
        try:
            redact(trace, Path(name))
        except WriteError as error:
            raise UsageError(f"{packed} cannot be written: {error.message}") from error
        yield Path(name)
