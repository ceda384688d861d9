# SPDX-License-Identifier: Apache-2.0
"""`slabtrace digest`: one small Parquet file for each trace, for `slabtrace fleet` and for any database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from slabtrace.cli.output import check_new, make_folder, replacing, say_written
from slabtrace.errors import BAD_TRACE, SlabtraceError, UsageError
from slabtrace.render.terminal.text import escape

if TYPE_CHECKING:
    import pandas as pd


@click.command("digest")
@click.argument("traces", metavar="TRACE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write here (default: beside each trace).",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite digests.")
@click.option(
    "--redact",
    is_flag=True,
    help="Replace names of hosts, commands, cgroups and values of labels; needs --key.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The secret that makes the pseudonyms, the same for a fleet.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was written.")
def command(
    traces: tuple[Path, ...], output: Path | None, force: bool, redact: bool, key: Path | None, quiet: bool
) -> int:
    """Make a digest of each trace: what was found, at what rate, how surely, on what host.

    A digest is one Parquet file of at most 1 MiB, NAME.digest.parquet. `slabtrace fleet` merges digests of
    many hosts; pandas, DuckDB and Spark read them too (docs/fleet.md has queries). Make one for each part of
    a rotated series, and collect digests instead of traces.

    With --redact, names of the host, its boot, commands, cgroups, units and containers, and the values of
    labels become pseudonyms. They are the same wherever the key is the same, so hosts can still be counted.

    A trace that cannot be read is named, and the others are digested; the exit code is 3 then.

    \b
    Examples:
      slabtrace digest boot.slab                     # writes boot.digest.parquet
      slabtrace digest /var/lib/slabtrace/*.slab -o digests/
      slabtrace digest boot.slab --redact --key fleet.key
    """
    secret = _secret(redact, key)
    if output is not None:
        make_folder(output)
    failed = 0
    for trace in traces:
        try:
            to = _target(trace, output)
            check_new(to, force)
            content = _digest(trace, secret)
        except UsageError:
            raise
        except (SlabtraceError, FileNotFoundError) as error:  # as old parts of a series disappear
            said = error.message if isinstance(error, SlabtraceError) else f"{trace} disappeared"
            click.echo(escape(f"slabtrace: {said}"), err=True)
            failed += 1
            continue
        with replacing(to, mode=0o644) as file:
            file.write(content)
        if not quiet:
            say_written(to)
    return BAD_TRACE if failed else 0


def _target(trace: Path, output: Path | None) -> Path:
    from slabtrace.fleet.digests.file import SUFFIX

    name = trace.resolve().name.removesuffix(".zip").removesuffix(".slab")
    return (output or trace.resolve().parent) / f"{name}{SUFFIX}"


def _digest(trace: Path, secret: bytes | None) -> bytes:
    from slabtrace.cli.opening import open_trace
    from slabtrace.fleet.digests.file import encoded
    from slabtrace.fleet.digests.fingerprint import fingerprint
    from slabtrace.fleet.digests.making import digest_frame
    from slabtrace.fleet.digests.redaction import redacted

    named = fingerprint(trace)
    frame: pd.DataFrame = digest_frame(open_trace(str(trace)), trace.resolve().name, named)
    return encoded(frame if secret is None else redacted(frame, secret))


def _secret(redact: bool, key: Path | None) -> bytes | None:
    if redact and key is None:
        raise UsageError("--redact needs --key", "make one: head -c 32 /dev/urandom > fleet.key")
    if key is not None and not redact:
        raise UsageError("--key without --redact has no effect", "add --redact")
    return key.read_bytes() if key is not None else None
