# SPDX-License-Identifier: Apache-2.0
"""Opening the trace that a reading command was given, or the window of it that --from and --to name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from slabtrace.cli.progress import watched
from slabtrace.units import parse_duration

if TYPE_CHECKING:
    from slabtrace.api import Trace

F = TypeVar("F", bound=Callable[..., Any])


def window_options(function: F) -> F:
    """`--from` and `--to`: the text of a mark, or a time since the start of the recording, like 1.5s."""
    begin = click.option(
        "--from", "begin", metavar="MARK|TIME", help="Begin here: the text of a mark, or a time like 1.5s."
    )
    end = click.option("--to", "end", metavar="MARK|TIME", help="End here.")
    return begin(end(function))


def open_trace(path: str, begin: str | None = None, end: str | None = None) -> Trace:
    """The trace at `path`, cut to a window where one is given.

    Raises UsageError for a mark that does not exist, or a window with nothing in it.
    """
    import slabtrace
    from slabtrace.trace.memory import keep_freed_memory

    keep_freed_memory()
    opened = slabtrace.open(path)
    if begin is not None or end is not None:
        opened = opened.window(moment(opened, begin or "0s"), None if end is None else moment(opened, end))
    return watched(opened)


def moment(opened: Trace, text: str) -> str | int:
    """What --from, --to or --between names: a time in ns since the start, or a mark by its text.

    A mark whose text reads like a time is the mark.
    """
    try:
        time_ns = parse_duration(text)
    except ValueError:
        return text
    return text if text in set(opened.marks()["text"]) else time_ns
