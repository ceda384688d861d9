# SPDX-License-Identifier: Apache-2.0
"""`slabtrace demo`: leaves known numbers of kernel objects behind, records it, and finds them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from slabtrace.commands import _demo_workload as workload
from slabtrace.commands._output import make_folder
from slabtrace.errors import SlabtraceError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace

TRACE, PICTURE = "demo.slab", "usage.png"


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
    help="Where the trace and the picture go.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite an earlier demo there.")
def command(output: Path, force: bool) -> int:
    """Leave a known number of kernel objects behind, record it live, and find exactly those.

    A small program keeps 23 System V messages in a queue (and passes 10,007 more), and a child of
    it keeps 41 of 101 pipes open. Everything is given back when the demo ends.

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
    _announce()
    status = _record(trace, force)
    if status:
        return status  # record has said why
    opened = slabtrace.open(trace)
    found = _show_findings(opened)
    _plot(trace, output / PICTURE)
    click.echo(f"\nThe trace stays in {trace}; try: slabtrace leaks {trace}")
    if not found:
        raise SlabtraceError(
            "the demo did not find exactly what it left behind", f"look at: slabtrace info {trace}"
        )
    return 0


def _announce() -> None:
    click.echo("Recording this kernel while a program leaves objects behind on purpose:")
    click.echo(
        f"  {workload.MESSAGES_KEPT} {LEFT_BEHIND[0].what} ({workload.MESSAGES_PASSED:,} more pass through)"
    )
    click.echo(
        f"  {workload.PIPES_KEPT} pipes, kept open by a child ({workload.PIPES_CLOSED} more are closed)\n"
    )
    sys.stdout.flush()


def _record(trace: Path, force: bool) -> int:
    """Record the workload with `slabtrace record`, as a user would; its exit code.

    The workload's child lives until this function closes its stdin: after the recording.
    """
    program = [sys.executable, str(Path(workload.__file__))]
    record = [sys.executable, "-m", "slabtrace", "record", "-o", str(trace), *(["--force"] if force else [])]
    with subprocess.Popen([*record, "--", *program], stdin=subprocess.PIPE) as recorder:
        return recorder.wait()


def _show_findings(opened: Trace) -> bool:
    """Print the stacks of what was left behind, then expected beside found; whether all agree."""
    from slabtrace.render.leaks import write_leaks
    from slabtrace.render.verdict import write_verdict

    by_stack = opened.leaks(by="stack")
    groups = {left: _groups_of(by_stack, left) for left in LEFT_BEHIND}
    for found in groups.values():
        write_leaks(sys.stdout, found, 0, "stack", opened.length_ns)
    for left, found in groups.items():
        click.echo(f"left behind on purpose: {left.number} {left.what}")
        for group in found.itertuples():
            click.echo(f"                 found: {group.outstanding} in {group.cache} from {group.symbol}")
        if found.empty:
            click.echo("                 found: none")
    write_verdict(sys.stdout, opened.completeness(), opened.damage)
    return all(_agrees(found, left) for left, found in groups.items())


def _groups_of(by_stack: pd.DataFrame, left: Left) -> pd.DataFrame:
    return by_stack[by_stack["symbol"].str.contains(left.call_sites)]


def _agrees(found: pd.DataFrame, left: Left) -> bool:
    return not found.empty and bool((found["outstanding"] == left.number).all())


def _plot(trace: Path, picture: Path) -> None:
    """The usage of the caches that the workload used, as `slabtrace plot` draws it."""
    plot = [sys.executable, "-m", "slabtrace", "plot", str(trace), "-o", str(picture), "--force"]
    subprocess.run(plot, check=True)
