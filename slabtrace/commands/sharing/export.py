# SPDX-License-Identifier: Apache-2.0
"""`slabtrace export`: a trace in the formats of other tools."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from slabtrace.cli import filters
from slabtrace.cli.options import cache_option, choice_option, measure_options, output_options, trace_argument
from slabtrace.cli.output import check_new, replacing, say_written
from slabtrace.cli.progress import reading
from slabtrace.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from slabtrace.api import Trace

TABULAR = ("parquet", "csv", "json")
BINARY = ("pprof", "perfetto", "parquet")
STREAMED = ("events", "lifetimes")  # tables too long for memory
Chosen = Callable[["pd.DataFrame"], "pd.DataFrame"]


@click.command("export")
@trace_argument
@click.option(
    "--to",
    "to",
    required=True,
    type=click.Choice(["folded", "speedscope", "pprof", "perfetto", "ftrace", *TABULAR]),
    help="The format; json is JSON Lines.",
)
@output_options("Where to write (default: standard output).", required=False)
@measure_options("folded: ")
@choice_option(
    "--table",
    choices=[*STREAMED, "stat", "leaks", "caches", "usage", "mismatches"],
    default="events",
    help="parquet, csv, json: which table.",
)
@cache_option
def command(
    trace: str,
    to: str,
    output: Path | None,
    what: str,
    unit: str,
    table: str,
    caches: tuple[str, ...],
    force: bool,
) -> None:
    """Write a trace in a format that other tools read.

    \b
    folded      one stack per line: flamegraph.pl, inferno
    speedscope  https://www.speedscope.app
    pprof       go tool pprof; sample types as in a Go heap profile
    perfetto    https://ui.perfetto.dev: a counter track for each cache, marks, losses
    ftrace      text like tracefs' trace, of the events that have a kmem tracepoint
    parquet, csv, json     a table; json has one object per line

    \b
    Examples:
      slabtrace export boot.slab --to folded | flamegraph.pl > boot.svg
      slabtrace export boot.slab --to pprof -o boot.pb.gz && go tool pprof -top boot.pb.gz
      slabtrace export boot.slab --to perfetto -o boot.perfetto-trace
      slabtrace export boot.slab --to parquet -o events.parquet
      slabtrace export boot.slab --to csv --table stat
    """
    if caches and (to == "ftrace" or (to in TABULAR and table in STREAMED)):
        raise UsageError("--cache does not apply to events and lifetimes", "filter when you read the file")
    if output is not None:
        check_new(output, force)
    elif to in BINARY and sys.stdout.isatty():
        raise UsageError(f"{to} is binary and stdout is a terminal", "name a file with -o")

    import slabtrace

    opened = slabtrace.open(trace)
    with reading(opened):
        chosen = filters.chooser(opened, caches)
        with _destination(output) as out:
            if to == "ftrace":
                _write_ftrace(out, opened)
            elif to in TABULAR:
                _write_table(out, opened, to, table, chosen)
            else:
                _write_profile(out, opened, to, trace, (what, unit), chosen)
    if output is not None:
        say_written(output)


@contextmanager
def _destination(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with replacing(output) as file:
            yield file


def _write_ftrace(out: BinaryIO, opened: Trace) -> None:
    from slabtrace.render.export.ftrace import COLUMNS, write_ftrace

    tasks = opened.tasks()
    comms = dict(zip(tasks["tid"].tolist(), tasks["comm"].tolist(), strict=True))
    write_ftrace(out, opened.events(COLUMNS), opened.symbol, lambda tid: comms.get(tid, ""))


def _write_profile(
    out: BinaryIO, opened: Trace, to: str, name: str, measure: tuple[str, str], chosen: Chosen
) -> None:
    """Write stacks, or a Perfetto trace."""
    import slabtrace
    from slabtrace.render.export import folded, perfetto, pprof, speedscope

    if to == "perfetto":
        usage = chosen(opened.usage())
        perfetto.write_perfetto(out, usage, opened.marks(), opened.losses(), opened.span_ns)
        return
    totals = chosen(opened.stack_totals())
    if to == "folded":
        folded.write_folded(out, totals, *measure)
    elif to == "speedscope":
        speedscope.write_speedscope(out, totals, Path(name).name, slabtrace.__version__)
    else:
        realtime = opened.span_ns[0] + opened.manifest.realtime_minus_monotonic_ns
        pprof.write_pprof(out, totals, realtime, opened.length_ns, opened.completeness().verdict)


def _write_table(out: BinaryIO, opened: Trace, to: str, table: str, chosen: Chosen) -> None:
    from slabtrace.render.export.tables import WRITERS

    WRITERS[to](out, _batches(opened, table, chosen))


def _batches(opened: Trace, table: str, chosen: Chosen) -> Iterator[pa.RecordBatch]:
    """The table in record batches, at least one."""
    import pyarrow as pa

    from slabtrace.analysis.grouping.joins import LIFETIME, WHOLE_EVENT
    from slabtrace.render.export.tables import batches_of

    if table in STREAMED:
        schema, stream = (WHOLE_EVENT, opened.events) if table == "events" else (LIFETIME, opened.lifetimes)
        yield pa.RecordBatch.from_pylist([], schema=schema)  # gives the columns even if no batch follows
        yield from stream()
        return
    yield from batches_of(chosen(getattr(opened, table)()))
