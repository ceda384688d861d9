# SPDX-License-Identifier: Apache-2.0
"""`slabtrace import`: a recording of another tool as an ordinary trace."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from slabtrace.cli.options import json_option, limit_option
from slabtrace.cli.progress import importing
from slabtrace.errors import UsageError

LIMIT = 20
MOST_OBJECTS = 1000  # looked up of each finding


@click.command("import")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="NAME.slab",
    help="The trace to make: a folder.",
)
@click.option(
    "--from",
    "kind",
    type=click.Choice(["ftrace", "trace-cmd", "perf", "ctf"]),
    help="The format of text (default: recognised).",
)
@click.option(
    "--kernel", metavar="RELEASE", default="", help="The recorded kernel, like 5.4, if no file says it."
)
@click.option(
    "--snapshot",
    is_flag=True,
    help="The files are slabinfo, allocinfo, alloc_traces or kmemleak: show growth.",
)
@click.option(
    "--beside", metavar="TRACE", help="With --snapshot: which objects of this trace kmemleak reports."
)
@json_option
@limit_option(LIMIT)
@click.option("--force", is_flag=True, help="Replace the trace if it exists.")
def command(
    files: tuple[Path, ...],
    output: Path | None,
    kind: str | None,
    kernel: str,
    snapshot: bool,
    beside: str | None,
    as_json: bool,
    limit: int | None,
    force: bool,
) -> None:
    """Make a trace of what another tool recorded. Every command reads it.

    \b
    ftrace      text: trace, trace_pipe, tpoint, systrace
    trace-cmd   trace.dat (needs trace-cmd), text of trace-cmd report
    perf        perf.data (needs perf), text of perf script
    ctf         a folder of LTTng (needs babeltrace2), text of babeltrace2

    Such a recording shows less than slabtrace's own. kmem tracepoints do not report bulk frees and kfree_rcu,
    and no text says which events were enabled. `slabtrace info` says what is missing, and what is doubtful.
    Where frees or CPUs are missing, no list of leaks is given.

    Several files of one tool are read one after the other. per_cpu/cpu*/stats of tracefs may be among them:
    they say how many events were lost.

    With --snapshot nothing is written: the files are counts that the kernel printed at some moments, of one
    kind. Each file, or each header in one, is a moment; a line with the time may be in front of it, else the
    time of the file counts. A table shows what grew. With --beside, kmemleak's objects are looked up in a
    trace by address.

    \b
    Examples:
      slabtrace import trace.txt -o old.slab --kernel 5.4
      slabtrace import perf.data -o perf.slab && slabtrace leaks perf.slab
      slabtrace import trace per_cpu/cpu*/stats -o t.slab
      slabtrace import --snapshot slabinfo.*
      slabtrace import --snapshot kmemleak.txt --beside t.slab

    \b
    How to record:
      perf record -a -g -k mono -e kmem:kmalloc -e kmem:kmem_cache_alloc \\
                           -e kmem:kfree -e kmem:kmem_cache_free
      trace-cmd record -C mono -e kmem -T
    """
    if snapshot:
        _show_snapshots(files, beside, as_json, limit)
        return
    if output is None:
        raise UsageError("where to write is not said", "name a trace to make: -o NAME.slab")
    if as_json or beside is not None or limit is not None:
        raise UsageError("--json, --beside and --limit are of --snapshot")
    from slabtrace import __version__
    from slabtrace.importing.formats.sources import Source
    from slabtrace.importing.recording import import_recording
    from slabtrace.render.terminal.foreign import imported

    sources = [Source(path, kind) for path in files]
    with importing(sum(source.size for source in sources if not source.binary)) as progress:
        manifest = import_recording(sources, output, kernel, __version__, progress, force)
    for line in imported(manifest, click.format_filename(output)):
        click.echo(line, err=True)


def _show_snapshots(files: tuple[Path, ...], beside: str | None, as_json: bool, limit: int | None) -> None:
    from slabtrace.columns import SNAPSHOTS
    from slabtrace.importing.snapshots.growth import growth
    from slabtrace.importing.snapshots.parsing import read_snapshots
    from slabtrace.render import json
    from slabtrace.render.terminal.machine.snapshots import write_snapshots

    snapshots = [snapshot for path in files for snapshot in read_snapshots(path)]
    places = growth(snapshots, None if beside is None else _outstanding(beside))
    shown = places if limit == 0 or (as_json and limit is None) else places.head(limit or LIMIT)
    if as_json:
        head = {"schema": "snapshots", "snapshots": len(snapshots)}
        json.write({**head, SNAPSHOTS.json_list: json.rows(shown, SNAPSHOTS)}, sys.stdout)
        return
    write_snapshots(sys.stdout, shown, len(snapshots), places)


def _outstanding(path: str) -> dict[int, int]:
    """The finding of each outstanding owner of a trace, by address."""
    from slabtrace.cli.opening import open_trace

    trace = open_trace(path)
    foreign = trace.manifest.foreign
    if trace.manifest.redacted or (foreign is not None and foreign.pointers == "hashed"):
        raise UsageError(f"{path} has no addresses to compare: its pointers are made up or hashed")
    oldest = trace.oldest(MOST_OBJECTS)
    return dict(zip(oldest["ptr"].tolist(), oldest["finding"].tolist(), strict=True))
