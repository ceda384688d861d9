# SPDX-License-Identifier: Apache-2.0
"""`slabtrace record`: trace the running kernel into a NAME.slab folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slabtrace.cli.capture_options import capture_options
from slabtrace.cli.destination import Destination, Limit, rotate_options, rotation
from slabtrace.cli.options import choice_option
from slabtrace.cli.output import check_new
from slabtrace.cli.privileges import check_reach, tell_limits
from slabtrace.cli.toml_files import all_labels, label_options
from slabtrace.cli.types import Duration, Share
from slabtrace.commands.reading.report import write_report
from slabtrace.commands.recording.to_inspect import chooser
from slabtrace.invoker import invoking_user

if TYPE_CHECKING:
    from slabtrace.capture.options import CaptureOptions
    from slabtrace.capture.plan import Plan
    from slabtrace.capture.recorder import Recorder
    from slabtrace.capture.storing.inspection import Choose
    from slabtrace.capture.storing.periodic import Progress
    from slabtrace.trace.manifest import Manifest

INSPECT_S = 2.0

STACKS = choice_option(
    "--stacks",
    choices=["none", "auto", "all"],
    default="auto",
    help="Which events get a kernel stack; auto: where a call site is busy, some of them, chosen at random. "
    "A stack costs as much as ten events.",
)


@click.command(
    context_settings={"ignore_unknown_options": False},
    epilog="""\b
Examples:
  sudo slabtrace record -d 30s                         trace everything for half a minute
  sudo slabtrace record -o t.slab -- make -j8          trace as long as a command runs
  sudo slabtrace record --report t.html -- ./program   record, and write the page for a bug report
  sudo slabtrace record --cache 'kmalloc-*' --stacks none
  sudo slabtrace record --comm 'nginx*' --min-size 1024 -d 5min
  sudo slabtrace record --cgroup '/system.slice/nginx.service' -d 5min
  sudo slabtrace record --mode survivors -d 2d         for days: only objects that stay are reported
  sudo slabtrace record -o hunt --rotate 1h --keep 24  for days: hunt.0001.slab, hunt.0002.slab, …
""",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="NAME.slab", help="Folder to write.")
@click.option("-d", "--duration", type=Duration(), help="Stop after this time: 30s, 5min, 1.5h.")
@capture_options(STACKS)
@click.option(
    "--grace",
    type=Duration(),
    default="0.5s",
    show_default=True,
    help="Continue this long after COMMAND has ended.",
)
@click.option(
    "--settle",
    is_flag=True,
    help="At the end, wait for RCU and drop the dentry and inode caches of the whole machine, which slows it "
    "for a while. Objects outstanding after that are not just cached.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Also write the page of `slabtrace report`.",
)
@click.option(
    "--inspect",
    "inspect_s",
    type=Duration(),
    help="At the end, read so long what the findings' objects are and who holds them (at most 1,000). The "
    "recording goes on meanwhile, some seconds more. Default: 2s; with --rotate or --budget not at all.",
)
@click.option("--no-inspect", is_flag=True, help="Leave that out.")
@click.option(
    "--inspect-cpu",
    type=Share(),
    default="50%",
    show_default=True,
    help="Compute at most this share of that time, of one CPU.",
)
@label_options
@rotate_options
@click.option("--force", is_flag=True, help="Replace an existing trace and report of these names.")
@click.option("-q", "--quiet", is_flag=True, help="No status line and no summary.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object on stdout.")
@click.argument("command_line", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
def command(
    output: Path | None,
    duration: float | None,
    capture: dict[str, Any],
    grace: float,
    settle: bool,
    report: Path | None,
    inspect_s: float | None,
    no_inspect: bool,
    inspect_cpu: float,
    labels: dict[str, str],
    config: str | None,
    rotate: tuple[Limit, ...],
    keep: int | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    command_line: tuple[str, ...],
) -> None:
    """Record every slab allocation and free of the running kernel.

    Filters select objects by their allocation; their frees are recorded, whichever task frees them.

    The recording ends with Ctrl-C, after --duration, or, when COMMAND has ended, after --grace: RCU and
    deferred closes free objects after a process is gone. COMMAND runs as the user who called sudo.

    Then it reads for some seconds what the objects are that stay, and who holds them; Ctrl-C leaves that out.
    """
    labels = all_labels(labels, config)
    if report is not None or as_json:
        check_reach(output, report and report.parent)
    if rotate:  # later parts are begun as the user behind sudo
        check_reach(output, output.absolute().parent if output else Path())
    from slabtrace.capture import preflight
    from slabtrace.capture.options import CaptureOptions
    from slabtrace.capture.plan import Plan
    from slabtrace.capture.process import privileges
    from slabtrace.capture.storing.settle import settler

    options = CaptureOptions(
        **capture,
        inspect_s=0.0 if no_inspect else _inspect_s(inspect_s, bool(rotate or capture["budget"])),
        inspect_cpu=inspect_cpu,
        extra={"duration": duration, "grace": grace, "settle": settle},
    )
    if report is not None:
        check_new(report, force)
    preflight.require()
    tell_limits(options, quiet)
    name = output or Path(datetime.now().strftime("slabtrace-%Y%m%d-%H%M%S.slab"))
    destination = Destination(name, rotation(rotate, keep), force)
    plan = Plan(duration, command_line, grace, settler() if settle else None)
    if rotate:  # a part ends with the counters of memory as they are then
        plan = replace(plan, memory_s=0.0)
    folder, manifest = _record(options, plan, destination, labels, quiet)
    if report is not None or as_json:
        privileges.finish()
    if report is not None:
        write_report(str(folder), report, quiet)
    if as_json:
        _print_json(folder)
    elif not quiet:
        from slabtrace.render.terminal.recording import summary

        click.echo(summary(folder, manifest, report), err=True)


def _record(
    options: CaptureOptions, plan: Plan, destination: Destination, labels: dict[str, str], quiet: bool
) -> tuple[Path, Manifest]:
    from slabtrace.capture.plan import new_manifest
    from slabtrace.capture.process import privileges
    from slabtrace.capture.process.command import TracedCommand
    from slabtrace.capture.recorder import Recorder
    from slabtrace.capture.session import Session
    from slabtrace.cli.watch import Watch
    from slabtrace.render.terminal.text import escape
    from slabtrace.trace.memory import keep_freed_memory

    keep_freed_memory()  # each batch needs the same arrays
    destination.check()
    if plan.argv:
        TracedCommand.check(plan.argv[0])
    session = Session(options)
    try:
        if session.cgroups is not None and not quiet and not session.cgroups.wanted():
            glob = escape(repr(options.cgroup))
            click.echo(f"note: no cgroup matches --cgroup {glob} yet; new ones are looked at, too", err=True)
        for what in () if quiet else session.other_memory.unrecorded:
            click.echo(f"note: not recorded: {what}; `slabtrace account` has what callers gained", err=True)
        user = invoking_user()
        place = destination.make((user.uid, user.gid) if user.differs else None)
        privileges.become(user, options.privileges)
        writer = destination.writer(new_manifest(session, labels), place)
        watch = None if quiet or options.survivors else Watch(session, writer.manifest)
        recorder = Recorder(session, writer, partial(_report, quiet), watch)
        if options.inspect_s:
            choose = chooser(lambda: writer.folder, options.inspect_s, lambda: recorder.hurries)
            plan = replace(plan, choose=partial(_told, quiet, choose))
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
    """Ctrl-C, SIGTERM and a closed terminal end the recording properly; SIGUSR1 sets a mark.

    Under nohup a closed terminal does not end it.  Only the first Ctrl-C leaves time for the inspection:
    who sends SIGTERM may not wait long.
    """
    closed = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    before = {signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: recorder.stop())}
    for number in (signal.SIGTERM, *closed):
        before[number] = signal.signal(number, lambda *_: recorder.stop(at_once=True))
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: recorder.marks.signal())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _inspect_s(asked_s: float | None, costs: bool) -> float:
    """How long to inspect: as asked; else a while, but not where a recording `costs` too much by that."""
    return (0.0 if costs else INSPECT_S) if asked_s is None else asked_s


def _told(quiet: bool, choose: Choose) -> Sequence[int]:
    """What `choose` says, once the user knows why it takes longer."""
    if _shows_status(quiet):
        with suppress(OSError):
            click.echo("\r\033[Kreading what stays, and who holds it (Ctrl-C leaves that out)", err=True)
    return choose()


def _shows_status(quiet: bool) -> bool:
    return sys.stderr.isatty() and not quiet


def _report(quiet: bool, progress: Progress) -> None:
    """Say what --budget has given up, and how far the recording has come."""
    from slabtrace.render.terminal.recording import budget_words, status_line

    over = "\r\033[K" if _shows_status(quiet) else ""
    with suppress(OSError):  # its terminal is gone
        for step in () if quiet else progress.steps:
            click.echo(f"{over}note: {budget_words(step)}", err=True)
        if over:
            click.echo(f"{over}{status_line(progress)[:79]}", nl=False, err=True)


def _print_json(folder: Path) -> None:
    """The manifest and completeness, as `info --json` prints them, with their own schema."""
    import slabtrace
    from slabtrace.render import json

    trace = slabtrace.open(folder)
    head = json.document("record", str(folder), trace.completeness(), trace.damage)
    json.write({**head, "manifest": json.plain(trace.manifest)}, sys.stdout)
