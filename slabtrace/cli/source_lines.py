# SPDX-License-Identifier: Apache-2.0
"""`--lines`: what commands show, with source lines.  Without the option nothing of it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from slabtrace.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.api import Trace
    from slabtrace.lines.shown import Lines

F = TypeVar("F", bound=Callable[..., Any])
USUAL = ""  # --lines alone: only where distributions put debug info


def lines_option(function: F) -> F:
    """`--lines [PATH|URL]`, repeatable; the command gets `lines`, a tuple of places, empty without it."""
    return click.option(
        "--lines",
        multiple=True,
        is_flag=False,
        flag_value=USUAL,
        metavar="[PATH|URL]",
        callback=_places,
        help="Show source lines, from debug info of the recorded build: a vmlinux, a .ko or .debug file, a "
        "folder, or the URL of a debuginfod server; alone, in the usual folders. After TRACE.",
    )(function)


def _places(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for place in value:
        if place and ((Path(place) / "manifest.json").exists() or place.endswith((".slab", ".slab.zip"))):
            raise UsageError(f"--lines takes {place}, which is a trace", f"write {place} before --lines")
    return value


class SourceLines:
    """Source lines for the tables of a trace, if `places` (of --lines) asks for them.

    Raises DebugInfoError at once for a place that cannot be used, before any event is read.
    """

    def __init__(self, opened: Trace, places: tuple[str, ...]) -> None:
        given = [each for each in places if each != USUAL]
        self._finder = opened.line_finder(*given, fetching=_say_fetching) if places else None
        self._lines: Lines | None = None

    def shown(self, *tables: pd.DataFrame) -> list[pd.DataFrame]:
        """`tables` with lines in their frames; as they are without --lines.  Raises DebugInfoError."""
        if self._finder is None:
            return list(tables)
        lines = self.look_up(*tables)
        return [lines.table(each) for each in tables]

    def json(self, *tables: pd.DataFrame) -> dict[str, Any]:
        """What `--json` has of the frames of `tables`: {"lines": …}; nothing without --lines."""
        return {} if self._finder is None else {"lines": self.look_up(*tables).to_json()}

    def look_up(self, *tables: pd.DataFrame) -> Lines:
        """The lines of all frames of `tables`."""
        from slabtrace.lines.shown import Lines, symbols_of

        self._lines = Lines() if self._finder is None else self._finder.lines(symbols_of(tables))
        return self._lines

    @property
    def sentence(self) -> str:
        """How many of the frames that were shown have no line, and why; empty if all have one."""
        return "" if self._lines is None else self._lines.sentence

    def say_note(self) -> None:
        """The same on stderr, for commands that write a file."""
        if self.sentence:
            from slabtrace.render.terminal.text import escape

            click.echo(escape(self.sentence), err=True)

    def write_note(self, out: TextIO) -> None:
        """Write the sentence, if there is one."""
        from slabtrace.render.terminal.text import write_paragraph

        if self.sentence:
            out.write("\n")
            write_paragraph(out, self.sentence)


def _say_fetching(url: str) -> None:
    """A kernel's debug info has 1 GB, so a terminal shows what takes so long."""
    if sys.stderr.isatty():
        click.echo(f"fetching {url}", err=True)
