# SPDX-License-Identifier: Apache-2.0
"""`slabtrace pack`: a trace as one file; with --redact, one that can be given to strangers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click

from slabtrace.cli.options import output_options, trace_argument
from slabtrace.cli.output import check_new, replacing
from slabtrace.errors import UsageError


@click.command()
@trace_argument
@output_options("Where to write (default: TRACE.zip, with --redact TRACE.redacted.slab.zip).", required=False)
@click.option("--redact", is_flag=True, help="Replace what identifies the machine, its user and workload.")
def command(trace: str, output: Path | None, redact: bool, force: bool) -> None:
    """Pack a trace into one file.  Every command reads the file as it reads the folder.

    The file is a ZIP archive. Only its owner may read it, because a trace has names of processes and
    addresses of the kernel.

    With --redact the trace can be given to strangers. Addresses, pids and tids, and names of tasks
    (task-1) are replaced, each one always by the same. Every command finds the same in the redacted
    trace; only groups whose numbers are all equal may change places.

    \b
    Removed   hostname, build id, version, text address and command line of the kernel, boot id,
              versions, build ids and addresses of modules, time of day, words of the command,
              texts of marks, values of labels, why a recording failed;
              the size of the memory is rounded up to a power of two
    Kept      function names with offsets; modules; names of slab caches (also those of devices
              that have one, but no names of memory cgroups and no addresses); sizes; time since
              boot; release, taint, CPUs and nodes; ID and VERSION_ID of the system; names of
              labels; options except pid and comm; slabinfo; losses; the order of addresses,
              and where each lies in its block of 4 MiB (1,024 pages)

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
    TraceReader(place)  # raises TraceError if it is not a trace
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
    """The default name of what is written."""
    if not redact:
        return place.with_name(f"{place.name}.zip")
    return place.with_name(f"{place.name.removesuffix('.zip').removesuffix('.slab')}.redacted.slab.zip")


@contextmanager
def _redacted(trace: Path, packed: Path) -> Iterator[Path]:
    """A redacted copy of the trace, beside the file to be written; removed when the block ends."""
    from slabtrace.trace.redaction.redact import redact
    from slabtrace.trace.writing.writer import WriteError

    with tempfile.TemporaryDirectory(prefix=f".{packed.name}.", dir=packed.parent) as name:
        try:
            redact(trace, Path(name))
        except WriteError as error:
            raise UsageError(f"{packed} cannot be written: {error.message}") from error
        yield Path(name)
