# SPDX-License-Identifier: Apache-2.0
"""A progress bar on stderr while a trace is read; nothing where stderr is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from slabtrace.api import Trace


WORTH_SHOWING = 3_000_000  # events: below, reading takes less than half a second


class _Bar:
    """A progress bar that appears when a pass over the events begins and disappears when it ends."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown: Progress | None = None

    def __call__(self, read: int) -> None:
        """Show that `read` events of this pass have been read."""
        if read >= self._total:
            self.stop()
            return
        if self._shown is None:
            self._shown = _new_bar()
            self._shown.start()
            self._shown.add_task("", total=self._total)
        self._shown.update(self._shown.task_ids[0], completed=read)

    def stop(self) -> None:
        """Remove the bar."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def watched(trace: Trace, quiet: bool = False) -> Trace:
    """`trace`, which from now on shows the progress of each pass over its events."""
    total = trace.manifest.totals.events
    if not quiet and sys.stderr.isatty() and total >= WORTH_SHOWING:
        trace.progress = _Bar(total)
    return trace


@contextmanager
def importing(total: int) -> Iterator[Callable[[int], None] | None]:
    """What to call with each number of bytes read, of `total`; None where no bar is shown.

    A program's output has no known length: its bytes are counted, and the bar only moves.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=total or None)
        yield lambda count: shown.update(task, advance=count)


@contextmanager
def reading(trace: Trace, quiet: bool = False) -> Iterator[None]:
    """The same while the block runs; the bar is removed even if it fails."""
    watched(trace, quiet)
    try:
        yield
    finally:
        if isinstance(trace.progress, _Bar):
            trace.progress.stop()
        trace.progress = None
