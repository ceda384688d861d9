# SPDX-License-Identifier: Apache-2.0
"""`slabtrace record`: trace the running kernel into a NAME.slab folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slabtrace.cli.destination import Destination, Limit, rotate_options, rotation
from slabtrace.cli.output import check_new
from slabtrace.cli.privileges import check_reach, tell_limits
from slabtrace.cli.types import Duration, OneIn, Share
from slabtrace.commands.reading.report import write_report
from slabtrace.invoker import invoking_user

if TYPE_CHECKING:
    from slabtrace.capture.options import CaptureOptions
    from slabtrace.capture.recorder import Plan, Recorder
    from slabtrace.capture.storing.periodic import Progress
    from slabtrace.trace.manifest import Manifest


# What events can hold, and PID_MAX_LIMIT: a manifest with larger numbers is refused (typed_json.py).
_SIZE, _PID = click.IntRange(0, (1 << 32) - 1), click.IntRange(1, 1 << 22)


@click.command(
    context_settings={"ignore_unknown_options": False},
    epilog="""\b
Examples:
  sudo slabtrace record -d 30s                       trace everything for half a minute
  sudo slabtrace record -o t.slab -- make -j8        trace as long as a command runs
  sudo slabtrace record --report t.html -- ./program record, and write the page for a bug report
  sudo slabtrace record --cache 'kmalloc-*' --stacks none
  sudo slabtrace record --comm 'nginx*' --min-size 1024 -d 5m
  sudo slabtrace record --mode survivors -d 2d       a hunt of days: only what stays is told of
  sudo slabtrace record -o hunt --rotate 1h --keep 24  for days: hunt.0001.slab, hunt.0002.slab, …
""",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="NAME.slab", help="Folder to write.")
@click.option("-d", "--duration", type=Duration(), help="Stop after this long: 10s, 2m, 1h.")
@click.option(
    "--mode",
    type=click.Choice(["events", "survivors"]),
    default="events",
    show_default=True,
    help="survivors: pair in the kernel, and tell only of what outlives --threshold. For hunts of days.",
)
@click.option(
    "--threshold",
    type=Duration(),
    default="1s",
    show_default=True,
    help="With --mode survivors: what is freed sooner is only counted.",
)
@click.option(
    "--live-objects",
    type=click.IntRange(1),
    metavar="N",
    help="With --mode survivors: room for so many in the kernel (default 1,000,000; 64 to 128 bytes each).",
)
@click.option(
    "--stacks",
    type=click.Choice(["none", "auto", "all"]),
    default="auto",
    show_default=True,
    help="Kernel stacks: of all events or, where a call site has many, of some. A stack costs ten events.",
)
@click.option("--cache", "caches", multiple=True, metavar="GLOB", help="Only these slab caches.")
@click.option("--min-size", type=_SIZE, metavar="BYTES", help="Only objects of at least this size.")
@click.option("--max-size", type=_SIZE, metavar="BYTES", help="Only objects of at most this size.")
@click.option("--pid", type=_PID, metavar="N", help="Only objects this process allocates.")
@click.option("--comm", metavar="GLOB", help="Only objects allocated by tasks of this name.")
@click.option(
    "--sample",
    type=OneIn(),
    default=1,
    metavar="1/N",
    help="Only one in N addresses, N a power of two: allocations and frees of an object, or neither.",
)
@click.option(
    "--budget",
    type=Share(),
    metavar="2%",
    help="Measure what the recording costs, and keep to this share of all CPUs' time: give up stacks, then "
    "sample.",
)
@click.option(
    "--buffer", type=int, metavar="MIB", help="Ring memory per CPU (default 64, less if memory is small)."
)
@click.option(
    "--grace", type=Duration(), default="0.5s", show_default=True, help="Go on this long after COMMAND."
)
@click.option(
    "--twins",
    type=click.Choice(["none", "frees", "all"]),
    default="all",
    show_default=True,
    help="Recover events that arrive while a program runs; fewer cost less and lose some.",
)
@click.option(
    "--settle",
    is_flag=True,
    help="Before the end, wait out RCU and drop the machine's reclaimable caches: what is left was kept.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Also write the page of `slabtrace report`.",
)
@rotate_options
@click.option("--force", is_flag=True, help="Replace an existing trace, and report, of that name.")
@click.option("-q", "--quiet", is_flag=True, help="No status line and no summary.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object on stdout.")
@click.argument("command_line", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
def command(
    output: Path | None,
    duration: float | None,
    mode: str,
    threshold: float,
    live_objects: int | None,
    stacks: str,
    caches: tuple[str, ...],
    min_size: int | None,
    max_size: int | None,
    pid: int | None,
    comm: str | None,
    sample: int,
    budget: float | None,
    buffer: int | None,
    twins: str,
    grace: float,
    settle: bool,
    report: Path | None,
    rotate: tuple[Limit, ...],
    keep: int | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    command_line: tuple[str, ...],
) -> None:
    """Record every slab allocation and free of the running kernel.

    Filters choose allocations; frees of what they chose are recorded whoever frees.  Ends with
    Ctrl-C, after --duration, or a short --grace after COMMAND ended (RCU and deferred closes
    free after the process is gone).  COMMAND runs as the user who called sudo.
    """
    if report is not None or as_json:
        check_reach(output, report and report.parent)
    if rotate:  # later parts are begun as the user behind sudo
        check_reach(output, output.absolute().parent if output else Path())
    from slabtrace.capture import preflight
    from slabtrace.capture.options import CaptureOptions
    from slabtrace.capture.process import privileges
    from slabtrace.capture.recorder import Plan
    from slabtrace.capture.storing.settle import settler

    options = CaptureOptions(
        mode=mode,
        threshold_s=threshold,
        live_objects=live_objects,
        stacks=stacks,
        cache=caches,
        min_size=min_size,
        max_size=max_size,
        pid=pid,
        comm=comm,
        sample=sample,
        budget=budget,
        buffer_mib=buffer,
        twins=twins,
        extra={"duration": duration, "grace": grace, "settle": settle},
    )
    if report is not None:
        check_new(report, force)
    preflight.require()
    tell_limits(quiet)
    name = output or Path(datetime.now().strftime("slabtrace-%Y%m%d-%H%M%S.slab"))
    destination = Destination(name, rotation(rotate, keep), force)
    plan = Plan(duration, command_line, grace, settler() if settle else None)
    folder, manifest = _record(options, plan, destination, quiet)
    if report is not None or as_json:
        privileges.finish()
    if report is not None:
        write_report(str(folder), report, quiet)
    if as_json:
        _print_json(folder)
    elif not quiet:
        click.echo(_summary(folder, manifest, report), err=True)


def _record(
    options: CaptureOptions, plan: Plan, destination: Destination, quiet: bool
) -> tuple[Path, Manifest]:
    from slabtrace.capture.process import privileges
    from slabtrace.capture.process.command import TracedCommand
    from slabtrace.capture.recorder import Recorder, new_manifest
    from slabtrace.capture.session import Session
    from slabtrace.cli.watch import Watch

    destination.check()
    if plan.argv:
        TracedCommand.check(plan.argv[0])
    session = Session(options)
    try:
        user = invoking_user()
        place = destination.make((user.uid, user.gid) if user.differs else None)
        privileges.become(user, options.privileges)
        writer = destination.writer(new_manifest(session), place)
        watch = None if quiet or options.survivors else Watch(session, writer.manifest)
        recorder = Recorder(session, writer, _status_line if _shows_status(quiet) else _no_status, watch)
        with _signals(recorder):
            recorder.record(plan)
        return writer.folder, writer.manifest
    finally:
        session.close()
        if _shows_status(quiet):
            with suppress(OSError):
                click.echo("\r\033[K", nl=False, err=True)


@contextmanager
def _signals(recorder: Recorder) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the recording in good order; SIGUSR1 sets a mark.

    Under nohup a closed terminal does not.
    """
    closed = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    numbers = (signal.SIGINT, signal.SIGTERM, *closed)
    before = {number: signal.signal(number, lambda *_: recorder.stop()) for number in numbers}
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: recorder.marks.signal())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shows_status(quiet: bool) -> bool:
    return sys.stderr.isatty() and not quiet


def _no_status(progress: Progress) -> None:
    """Nobody watches."""


def _status_line(progress: Progress) -> None:
    from slabtrace.units import count, size

    text = (
        f"{progress.elapsed_s:5.0f} s  {count(progress.events_per_s)} events/s  "
        f"outstanding {progress.net_objects:+,}  dropped {progress.dropped:,}  "
        f"buffer {progress.fill:.0%}  {size(progress.bytes)}"
    )
    with suppress(OSError):  # its terminal is gone
        click.echo(f"\r\033[K{text[:79]}", nl=False, err=True)


def _summary(folder: Path, manifest: Manifest, report: Path | None) -> str:
    from slabtrace.units import count, size

    totals = manifest.totals
    seconds = ((manifest.ended_ns or manifest.started_ns) - manifest.started_ns) / 1e9
    counted = f" and {count(totals.counted)} objects only counted" if totals.counted else ""
    lines = [
        f"{folder}: {count(totals.events)} events{counted} in {seconds:.1f} s, "
        f"{size(totals.bytes_on_disk)}, {totals.dropped:,} dropped"
    ]
    if manifest.command is not None and manifest.command.exit_status:
        lines.append(f"the command ended with status {manifest.command.exit_status}")
    lines.append(f"report: {report}" if report is not None else f"next: slabtrace leaks {folder}")
    return "\n".join(lines)


def _print_json(folder: Path) -> None:
    """What `info --json` would print, under a schema of its own."""
    import slabtrace
    from slabtrace.render import json

    trace = slabtrace.open(folder)
    head = json.document("record", str(folder), trace.completeness(), trace.damage)
    json.write({**head, "manifest": json.plain(trace.manifest)}, sys.stdout)
