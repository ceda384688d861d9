# SPDX-License-Identifier: Apache-2.0
"""Opening the trace that a reading command was given, or the stretch of it that --from and --to name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from slabtrace.cli.progress import watched

if TYPE_CHECKING:
    from slabtrace.api import Trace

F = TypeVar("F", bound=Callable[..., Any])

_TIME = re.compile(r"\+?(\d{1,18}(?:\.\d{1,18})?)(ns|us|ms|s|m|h)")
_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def window_options(function: F) -> F:
    """`--from` and `--to`: a mark's text, or a time since the recording's start such as 1.5s."""
    begin = click.option(
        "--from", "begin", metavar="MARK|TIME", help="Read from here on only: a mark's text, or as 1.5s."
    )
    end = click.option("--to", "end", metavar="MARK|TIME", help="Read up to here only.")
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
    """What an option says: ns since the start, or, where a mark is called so, that mark's text."""
    match = _TIME.fullmatch(text)
    if match is None or text in set(opened.marks()["text"]):
        return text
    return int(float(match.group(1)) * _NS[match.group(2)])
