# SPDX-License-Identifier: Apache-2.0
"""A progress bar on stderr while a trace is read; silent where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slabtrace.api import Trace

WORTH_SHOWING = 3_000_000  # events: below, reading takes less than half a second


@contextmanager
def reading(trace: Trace, quiet: bool = False) -> Iterator[None]:
    """Show how far the reading of `trace` has come, pass by pass."""
    total = trace.manifest.totals.events
    if quiet or not sys.stderr.isatty() or total < WORTH_SHOWING:
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        trace.progress = lambda read: bar.update(task, completed=read)
        try:
            yield
        finally:
            trace.progress = None
