# SPDX-License-Identifier: Apache-2.0
"""Hold back the events that are newer than the watermark, so that batches follow each other in time.

A batch holds runs, each from one lane and in order of time.  What is released is not sorted: the runs of a
CPU stay together.  So the columns compress to two thirds, in a third of the time, and events are sorted
only when a trace is read (EventBatch.ordered).

Example: two CPUs, two drains.  The watermark is the time before which nothing can arrive any more.

    drain  arrives (time, CPU)       watermark   released                 waiting after it
    1      10/0 14/0 18/0 12/1       13          10/0 | 12/1              14/0 18/0
    2      21/0 13/1 15/1 20/1       19          14/0 18/0 | 13/1 15/1    21/0 20/1

The first batch has the times 10 to 12, the second 13 to 18.  Had 11/1 arrived only in the second drain,
after 12 was released, it would be stored in the second batch and counted as late: the watermark was wrong.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from slabtrace.trace.format.batch import EventBatch, concatenate

SHORTEST_MEAN = 64  # events of a run; a batch of shorter runs (swept objects) is sorted


class TimeMerge:
    """Turns batches of runs and their watermarks into batches that follow each other in time."""

    def __init__(self) -> None:
        self.waiting: list[EventBatch] = []  # runs newer than the last watermark
        self._released_ns = 0
        self.late = 0  # events released after a newer one: the watermark was wrong

    def merge(self, batch: EventBatch, watermark_ns: int | None) -> EventBatch:
        """The events older than the watermark (ns; None: all), run by run.  The rest waits."""
        released, waiting = [], []
        own = len(self.waiting)
        for number, run in enumerate((*self.waiting, *_ascending(batch))):
            cut = run.size if watermark_ns is None else int(np.searchsorted(run.ts_ns, watermark_ns))
            if cut:
                released.append(run.take(slice(cut)))
            if cut < run.size:
                # a copy, once: a view would keep its whole batch in memory
                as_it_is = cut == 0 and number < own
                waiting.append(run if as_it_is else concatenate([run.take(slice(cut, None))]))
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
