# SPDX-License-Identifier: Apache-2.0
"""Hold back what is newer than the watermark, so that batches follow each other in time.

A batch holds runs, each of one lane and ordered in itself.  Within what is released they stay apart, those
of one CPU together: so the columns compress to two thirds, in a third of the time, and nobody sorts before
a trace is read (EventBatch.ordered).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from slabtrace.trace.format.batch import EventBatch, concatenate

SHORTEST_MEAN = 64  # events of a run; what comes in shorter ones (swept objects) is sorted


class TimeMerge:
    """Turns batches of runs and their watermarks into batches that follow each other in time."""

    def __init__(self) -> None:
        self.waiting: list[EventBatch] = []  # runs newer than the last watermark
        self._released_ns = 0
        self.late = 0  # events released after a newer one had been: the watermark was wrong

    def merge(self, batch: EventBatch, watermark_ns: int | None) -> EventBatch:
        """Events older than the watermark (None: all there are), run by run; the rest waits."""
        released, waiting = [], []
        for run in (*self.waiting, *_ascending(batch)):
            cut = run.size if watermark_ns is None else int(np.searchsorted(run.ts_ns, watermark_ns))
            if cut:
                released.append(run.take(slice(cut)))
            if cut < run.size:
                waiting.append(concatenate([run.take(slice(cut, None))]))  # a copy
        self.waiting = waiting
        self._count_late(released)
        released.sort(key=lambda run: (int(run.cpu[0]), int(run.ts_ns[0])))
        return concatenate(released) if released else batch.take(slice(0))

    def _count_late(self, released: list[EventBatch]) -> None:
        self.late += sum(int(np.searchsorted(run.ts_ns, self._released_ns)) for run in released)
        self._released_ns = max([self._released_ns, *(int(run.ts_ns[-1]) for run in released)])


def _ascending(batch: EventBatch) -> list[EventBatch]:
    """The batch in pieces, views of it, within which time never goes back."""
    begins = np.flatnonzero(batch.ts_ns[1:] < batch.ts_ns[:-1]) + 1
    if len(begins) * SHORTEST_MEAN > batch.size:
        return [batch.ordered()]
    bounds = [0, *begins.tolist(), batch.size]
    return [batch.take(slice(*pair)) for pair in pairwise(bounds)]
