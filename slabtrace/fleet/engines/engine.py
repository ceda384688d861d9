# SPDX-License-Identifier: Apache-2.0
"""What an engine is: two calls, submit and completed.  And the one that needs nothing: this process.

A process pool is none: one dead worker ends all that concurrent.futures has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from slabtrace.fleet.sources.digesting import Job, Result, digest_job
from slabtrace.fleet.store import MOST_KILLS, Store

SMALL_BYTES, TOGETHER = 5 << 20, 20  # traces below are bundled, so many to a task


class Engine(Protocol):
    """Makes digests somewhere."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take a bundle; earlier ones should be begun earlier."""

    def completed(self) -> Iterator[Result]:
        """The result of each job, as it comes.  Raises SlabtraceError if the engine itself is lost."""

    def close(self) -> None:
        """Give up what it holds."""


class InProcess:
    """One trace after another in this process.  `store`: where a trace is marked while it is read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: list[Job] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        """See Engine."""
        self._jobs += jobs

    def completed(self) -> Iterator[Result]:
        """See Engine."""
        for job in self._jobs:
            yield self._one(job)
        self._jobs = []

    def close(self) -> None:
        """See Engine."""

    def _one(self, job: Job) -> Result:
        store = self._store
        if (kills := store.kills(job.key)) >= MOST_KILLS:
            return Result(
                job.key, b"", f"killed its reader {kills} times; to try again remove {store.mark(job.key)}"
            )
        store.begin(job.key)
        try:
            return digest_job(job)
        finally:
            store.end(job.key)


def bundles(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in bundles: the largest first, each alone; small ones together."""
    ordered = sorted(jobs, key=lambda job: (-job.item.bytes, job.key))
    large = [[job] for job in ordered if job.item.bytes >= SMALL_BYTES]
    small = ordered[len(large) :]
    return large + [small[at : at + TOGETHER] for at in range(0, len(small), TOGETHER)]
