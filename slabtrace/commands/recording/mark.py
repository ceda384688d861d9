# SPDX-License-Identifier: Apache-2.0
"""`slabtrace mark`: set a mark in the recordings that run on this machine."""

from __future__ import annotations

import click

from slabtrace.errors import UsageError
from slabtrace.render.terminal.text import escape
from slabtrace.units import plural


@click.command("mark")
@click.argument("text")
@click.option("--pid", type=click.IntRange(1), metavar="N", help="Only in the recording of the process N.")
def command(text: str, pid: int | None) -> None:
    """Set a mark called TEXT in every recording that runs now.

    Commands that read a trace take marks: `leaks --from "before login" --to "after login"`. The
    signal SIGUSR1 also sets marks, called "SIGUSR1 1", "SIGUSR1 2" and so on.

    \b
    Examples:
      sudo slabtrace mark "before login"
      sudo slabtrace mark "after login" --pid 4321
    """
    from slabtrace.capture.marks import LONGEST_TEXT, recorders, set_mark

    if not text.strip() or len(text) > LONGEST_TEXT:
        raise UsageError(f"the text of a mark has 1 to {LONGEST_TEXT} characters")
    running = [each for each in recorders() if pid is None or each == pid]
    if not running:
        which = f"no recording runs with the pid {pid}" if pid else "no recording runs on this machine"
        raise UsageError(which, "start one: sudo slabtrace record")
    marked, refused = set_mark(text, running)
    if marked:
        click.echo(
            f"marked {plural(len(marked), 'recording')} ({', '.join(map(str, marked))}): {escape(text)}",
            err=True,
        )
    for error in refused[:-1]:
        click.echo(f"slabtrace: {error.message}", err=True)
    if refused:
        raise refused[-1]
