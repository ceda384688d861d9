# SPDX-License-Identifier: Apache-2.0
"""`slabtrace demo`: leaves known numbers of kernel objects behind, records that, and finds them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from slabtrace.cli.output import make_folder
from slabtrace.cli.privileges import check_reach, leave_sudo
from slabtrace.commands.recording import demo_workload as workload
from slabtrace.errors import SlabtraceError, UsageError
from slabtrace.render.terminal.text import escape

SLABTRACE = [sys.executable, "-P", "-m", "slabtrace"]  # -P: not what lies in the current folder

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace

TRACE, PICTURE = "demo.slab", "usage.png"
GIVEN_BACK_S = 5  # for the release; the workload's child needs milliseconds


class Left(NamedTuple):
    """What the workload leaves behind: how many of what, and the call sites that allocate one each."""

    number: int
    what: str
    call_sites: str  # regular expression over symbols


LEFT_BEHIND = (
    Left(
        workload.MESSAGES_KEPT,
        f"System V messages of {workload.MESSAGE_BYTES} bytes",
        r"^(alloc_msg|load_msg)\+",
    ),
    Left(workload.PIPES_KEPT, "pipes", r"^(alloc_pipe_info|get_pipe_inode|create_pipe_files)\+"),
)


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("slabtrace-demo"),
    show_default=True,
    metavar="FOLDER",
    help="Where to write the trace and the picture.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite an earlier demo there.")
def command(output: Path, force: bool) -> int:
    """Record a program that leaves known numbers of kernel objects behind, and find exactly those.

    A small program leaves 23 System V messages in a queue, through which 10,007 more pass, and its
    child keeps 41 of 101 pipes open. Everything is released when the demo ends.

    \b
    Examples:
      sudo slabtrace demo
      sudo slabtrace demo -o /tmp/demo --force
    """
    import slabtrace

    trace = output / TRACE
    if trace.exists() and not force:
        raise UsageError(f"{trace} exists", "overwrite it with --force, or choose another folder with -o")
    make_folder(output)
    check_reach(trace, output)
    _announce()
    status = _record(trace, force)
    if status:
        return status  # record has printed the reason
    leave_sudo()
    opened = slabtrace.open(trace)
    by_stack = opened.leaks(by="stack", pid=[_workload_pid(opened)])  # other processes make pipes too
    found = {left: by_stack[by_stack["symbol"].str.contains(left.call_sites)] for left in LEFT_BEHIND}
    _show_findings(opened, trace, found)
    _plot(trace, output / PICTURE, {cache for groups in found.values() for cache in groups["cache"]})
    click.echo(f"\nThe trace stays in {trace}; try: slabtrace leaks {trace}")
    if not all(_agrees(groups, left) for left, groups in found.items()):
        raise SlabtraceError(
            "the demo did not find exactly what it left behind", f"look at: slabtrace info {trace}"
        )
    return 0


def _announce() -> None:
    click.echo(f"Recording {workload.COMM}, which leaves behind on purpose:")
    click.echo(
        f"  {workload.MESSAGES_KEPT} {LEFT_BEHIND[0].what} ({workload.MESSAGES_PASSED:,} more pass through)"
    )
    click.echo(
        f"  {workload.PIPES_KEPT} pipes, kept open by a child ({workload.PIPES_CLOSED} more are closed)\n"
    )
    sys.stdout.flush()


def _record(trace: Path, force: bool) -> int:
    """Record the workload with `slabtrace record`, as a user would; its exit code.

    The workload's child has the other end of a socket as its stdin.  It ends when our end is shut down;
    when its own end is closed, everything has been released.
    """
    program = [sys.executable, str(Path(workload.__file__))]
    record = [*SLABTRACE, "record", "-o", str(trace), *(["--force"] if force else [])]
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            recorder = subprocess.Popen([*record, "--", *program], stdin=theirs.fileno())
        status = recorder.wait()
        ours.shutdown(socket.SHUT_WR)
        ours.settimeout(GIVEN_BACK_S)
        with contextlib.suppress(TimeoutError):
            ours.recv(1)
    return status


def _workload_pid(opened: Trace) -> int:
    """The recorded process: another demo that runs at the same time has the same name."""
    if opened.manifest.command is None:
        raise SlabtraceError("the trace names no command", "run the demo again")
    return opened.manifest.command.pid


def _show_findings(opened: Trace, trace: Path, found: dict[Left, pd.DataFrame]) -> None:
    """Print the stacks of what was left behind, then expected beside found, then the verdict."""
    from slabtrace.render.terminal.leaks import Listing, write_leaks
    from slabtrace.render.terminal.verdict import write_verdict

    completeness = opened.completeness()
    for groups in found.values():
        write_leaks(sys.stdout, groups, Listing("stack", opened.length_ns, 0, completeness))
        click.echo()
    for left, groups in found.items():
        click.echo(f"left behind on purpose: {left.number} {left.what}")
        for number, cache, symbol in groups[["outstanding", "cache", "symbol"]].itertuples(index=False):
            click.echo(f"                 found: {number} in {escape(cache)} from {escape(symbol)}")
        if groups.empty:
            click.echo("                 found: none")
    write_verdict(sys.stdout, str(trace), completeness, opened.damage)


def _agrees(groups: pd.DataFrame, left: Left) -> bool:
    return not groups.empty and bool((groups["outstanding"] == left.number).all())


def _plot(trace: Path, picture: Path, caches: set[str]) -> None:
    """Draw the usage of the caches that the workload left objects in, as `slabtrace plot` does."""
    chosen = [word for cache in sorted(caches) for word in ("--cache", cache)]
    sys.stdout.flush()
    plot = [*SLABTRACE, "plot", str(trace), "-o", str(picture), "--force", *chosen]
    subprocess.run(plot, check=True)
