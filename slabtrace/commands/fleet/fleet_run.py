# SPDX-License-Identifier: Apache-2.0
"""What `slabtrace fleet` needs to run: its engine, its store of digests, and how far it is, on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slabtrace.errors import UsageError
from slabtrace.units import duration, plural, size

if TYPE_CHECKING:
    from slabtrace.fleet.engines.engine import Engine
    from slabtrace.fleet.running import Outcome, Progress
    from slabtrace.fleet.store import Store

EVERY_S = 1.0  # between two lines for robots, and two for people
LEAST_S = 2.0  # a shorter run needs no progress


def outcome_of(
    places: Sequence[str], workers: int | None, scheduler: str | None, digests: Path | None, robots: bool
) -> Outcome:
    """Read everything at `places`.  `robots`: progress as JSON lines.  Raises SlabtraceError."""
    from slabtrace.fleet.running import run
    from slabtrace.fleet.store import Store, default_folder
    from slabtrace.trace.memory import keep_freed_memory

    if workers is not None and scheduler is not None:
        raise UsageError("--workers and --scheduler exclude each other", "give one of them")
    if workers is None and scheduler is None:
        keep_freed_memory()  # not with Dask, whose nanny would take it for a leak of a worker
    folder = digests or default_folder()
    try:
        store = Store(folder)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}", "choose another one with --digests"
        ) from None
    watching = _Watching(robots)
    try:
        return run(places, _engine(workers, scheduler, store), store, watching)
    finally:
        watching.end()


def _engine(workers: int | None, scheduler: str | None, store: Store) -> Callable[[], Engine]:
    def made() -> Engine:
        from slabtrace.fleet.engines import dask, engine

        if workers is not None:
            return dask.local(workers)
        return dask.connected(scheduler) if scheduler is not None else engine.InProcess(store)

    return made


class _Watching:
    """Progress on stderr: a line that is written again on a terminal, JSON lines for robots, else nothing."""

    def __init__(self, robots: bool) -> None:
        self._robots, self._shown = robots, False
        self._began = self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < EVERY_S or now - self._began < LEAST_S:
            return
        self._last = now
        if self._robots:
            print(json.dumps({"progress": vars(progress)}), file=sys.stderr, flush=True)  # noqa: T201
        elif sys.stderr.isatty():
            self._shown = True
            print(f"\r\x1b[K{_words(progress, now - self._began)}", end="", file=sys.stderr, flush=True)  # noqa: T201

    def end(self) -> None:
        """Remove the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # noqa: T201


def _words(progress: Progress, seconds: float) -> str:
    left = seconds * (progress.bytes - progress.done_bytes) / max(progress.done_bytes, 1)
    return (
        f"{progress.done:,} of {plural(progress.things, 'trace')}, "
        f"{size(progress.done_bytes)} of {size(progress.bytes)}, "
        f"{progress.unread:,} not read, about {duration(left * 1e9)} left"
    )
