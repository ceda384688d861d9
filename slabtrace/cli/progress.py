# SPDX-License-Identifier: Apache-2.0
"""How far the reading of a trace has come, on stderr; silent where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from slabtrace.api import Trace


WORTH_SHOWING = 3_000_000  # events: below, reading takes less than half a second


class _Bar:
    """A progress bar that appears when a pass over the events begins, and is gone when it ends."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown: Progress | None = None

    def __call__(self, read: int) -> None:
        """So many events of this pass are read."""
        if read >= self._total:
            self.stop()
            return
        if self._shown is None:
            self._shown = _new_bar()
            self._shown.start()
            self._shown.add_task("", total=self._total)
        self._shown.update(self._shown.task_ids[0], completed=read)

    def stop(self) -> None:
        """Take the bar off the screen."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def watched(trace: Trace, quiet: bool = False) -> Trace:
    """`trace`, showing how far each pass over its events has come."""
    total = trace.manifest.totals.events
    if not quiet and sys.stderr.isatty() and total >= WORTH_SHOWING:
        trace.progress = _Bar(total)
    return trace


@contextmanager
def reading(trace: Trace, quiet: bool = False) -> Iterator[None]:
    """The same for as long as the block lasts, whatever ends it."""
    watched(trace, quiet)
    try:
        yield
    finally:
        if isinstance(trace.progress, _Bar):
            trace.progress.stop()
        trace.progress = None
