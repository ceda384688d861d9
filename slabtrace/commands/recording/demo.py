# SPDX-License-Identifier: Apache-2.0
"""`slabtrace demo`: leaks a known number of kernel objects, records that, and finds exactly this leak."""

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
from slabtrace.commands.reading.leaks import inspected
from slabtrace.commands.recording import demo_workload as workload
from slabtrace.errors import SlabtraceError, UsageError
from slabtrace.render.terminal.text import escape

SLABTRACE = [sys.executable, "-P", "-m", "slabtrace"]  # -P: not what lies in the current folder

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.leaks.verdict import Verdict
    from slabtrace.api import Trace

TRACE, PICTURE = "demo.slab", "usage.png"
GIVEN_BACK_S = 5  # for the release; the workload's child needs milliseconds


class Left(NamedTuple):
    """What the workload leaves behind: how many of what, and the call sites that allocate one each."""

    number: int
    what: str
    call_sites: str  # regular expression over symbols


LEAK = Left(workload.PIPES_KEPT, "pipes", r"^(alloc_pipe_info|get_pipe_inode|create_pipe_files)\+")
FLAT = Left(
    workload.MESSAGES_WAITING,
    f"System V messages of {workload.MESSAGE_BYTES} bytes",
    r"^(alloc_msg|load_msg)\+",
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
    """Record a program that leaks a known number of kernel objects, and find exactly this leak.

    For 20 seconds a small program leaves a pipe open every 0.64 s, 31 of 101, and never closes it. Beside
    that a queue always holds 23 System V messages, each for two seconds, and 10,007 more pass through: a
    flat load, and no leak. The demo succeeds if the pipes are the one suspect of this program, all parts
    of them together. Everything is released when it ends.

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
    pid = [_workload_pid(opened)]  # other processes make pipes too
    found = Found(opened.findings(pid=pid), opened.leaks(pid=pid), opened.verdict(pid=pid))
    _show(opened, trace, found, inspected(opened, pid=pid))
    _plot(trace, output / PICTURE, {cache for left in (LEAK, FLAT) for cache in found.of(left)["cache"]})
    click.echo(f"\nThe trace stays in {trace}; try: slabtrace leaks {trace} --pid {pid[0]}")
    if wrong := found.wrong():
        raise SlabtraceError(
            f"the demo did not find exactly its leak: {wrong}", f"look at: slabtrace info {trace}"
        )
    return 0


class Found(NamedTuple):
    """What was found of the workload: Trace.findings(), Trace.leaks() by stack, and the verdict."""

    findings: pd.DataFrame
    by_stack: pd.DataFrame
    verdict: Verdict

    def of(self, left: Left) -> pd.DataFrame:
        """The groups at the call sites of what was left behind."""
        return self.by_stack[self.by_stack["symbol"].str.contains(left.call_sites)]

    def grown(self) -> pd.DataFrame:
        """The suspects, and what grows."""
        return self.findings[self.findings["class"].isin(["suspect", "growing"])]

    def wrong(self) -> str:
        """What differs from what the workload did, "" if nothing does."""
        for left in (LEAK, FLAT):
            if list(set(self.of(left)["outstanding"])) != [left.number]:
                return f"not {left.number} {left.what}"
        if list(self.findings.loc[self.findings["class"] == "suspect", "outstanding"]) != [LEAK.number]:
            return f"not one suspect of {LEAK.number} objects"
        if len(self.grown()) != 1:
            return "something else grows"
        if set(self.of(LEAK)["finding"]) != set(self.grown()["rank"]):
            return "a part of the pipes is missing"
        return ""


def _announce() -> None:
    click.echo(f"Recording {workload.COMM}, which leaks on purpose:")
    each = f"one every {workload.STEP_S} s; {workload.PIPES_CLOSED} more are closed"
    click.echo(f"  {LEAK.number} {LEAK.what} that stay open, {each}")
    click.echo("Beside that, a flat load, which is no leak:")
    waits_s = workload.STEP_S * FLAT.number / workload.MESSAGES_A_STEP
    click.echo(f"  {FLAT.number} {FLAT.what} in a queue at any time, each for {waits_s:.0f} s")
    click.echo(f"  {workload.MESSAGES_PASSED:,} more that pass through the queue at once")
    click.echo(f"This takes about {workload.STEP_S * LEAK.number:.0f} s.\n")
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


def _show(opened: Trace, trace: Path, found: Found, held: tuple[pd.DataFrame | None, str]) -> None:
    """Print what leaks, then expected beside found, then the verdict on the workload."""
    from slabtrace.render.terminal.outstanding.findings import Shown, write_conclusion, write_findings
    from slabtrace.render.terminal.verdict import write_verdict

    completeness = opened.completeness()
    shown = Shown(opened.length_ns, completeness, inspected=held[0], searched=held[1])
    if found.grown().empty:
        click.echo("found no leak")
    else:
        write_findings(sys.stdout, found.grown(), shown)
    for left, said in ((LEAK, "leaked on purpose"), (FLAT, "flat on purpose")):
        click.echo(f"\n{said}: {left.number} {left.what}")
        groups = found.of(left)
        for number, cache, symbol in groups[["outstanding", "cache", "symbol"]].itertuples(index=False):
            click.echo(f"{'found':>{len(said)}}: {number} in {escape(cache)} from {escape(symbol)}")
        if groups.empty:
            click.echo(f"{'found':>{len(said)}}: none")
    write_conclusion(sys.stdout, found.verdict, shown)
    write_verdict(sys.stdout, str(trace), completeness, opened.damage)


def _plot(trace: Path, picture: Path, caches: set[str]) -> None:
    """Draw the usage of the caches that the workload left objects in, as `slabtrace plot` does."""
    chosen = [word for cache in sorted(caches) for word in ("--cache", cache)]
    sys.stdout.flush()
    plot = [*SLABTRACE, "plot", str(trace), "-o", str(picture), "--force", *chosen]
    subprocess.run(plot, check=True)
