# SPDX-License-Identifier: Apache-2.0
"""Objects over time whose free was missed: it happened between the allocation and the time it was inferred.

All other counts take the latest time.  A line of objects in use then climbs as long as frees are missed, and
drops where the slabs are asked at the end.  Here every such object is also weighted by the share of that
time which is still to come: 1 at its allocation, 0 when its free was inferred.

Example: an object is allocated at 1 s, and at 5 s its slab lists it as free.  Buckets of one second:

    end of the bucket, s     1    2     3    4     5
    open                     1    1     1    1     0    the object counts as in use, and may be freed
    weight                   1  0.75  0.5  0.25    0    what it counts if its free came at any time alike
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.pairing.paired import Positions

Steps = NDArray[np.float64]


class MissedFrees:
    """Sums over objects of k sorts at the ends of `buckets` buckets.

    With a and e, the times of an object's allocation and inferred free in buckets, its weight at t is
    (e - t) / (e - a), and so linear: the sums of e / (e - a) and of 1 / (e - a) give that of all.
    """

    def __init__(self, buckets: int, sorts: int) -> None:
        self._steps: Steps = np.zeros((3, buckets, sorts))  # of open, e / (e - a), 1 / (e - a)

    def add(self, sort: Positions, alloc: Steps, end: Steps) -> None:
        """Objects of `sort`, allocated and inferred free at these times in buckets, all of shape (m,).

        Objects from earlier parts of a series have negative times.
        """
        buckets = self._steps.shape[1]
        first, last = (np.clip(each, 0, buckets - 1).astype(np.intp) for each in (alloc, end))
        some = np.flatnonzero(first < last)  # else in use at the end of no bucket
        sort, first, last = (each[some] for each in (sort, first, last))
        alloc, end = alloc[some], end[some]
        each = 1 / (end - alloc)
        for steps, value in zip(self._steps, (np.ones(len(some)), end * each, each), strict=True):
            np.add.at(steps, (first, sort), value)
            np.subtract.at(steps, (last, sort), value)

    def open(self, which: Positions) -> NDArray[np.int64]:
        """Objects of the sorts `which` that count as in use and may be freed: (buckets, len(which))."""
        number: NDArray[np.int64] = np.rint(np.cumsum(self._steps[0][:, which], axis=0)).astype(np.int64)
        return number

    def weights(self, which: Positions) -> Steps:
        """The sum of their weights, between 0 and `open`: (buckets, len(which))."""
        _, numerator, slope = (np.cumsum(steps[:, which], axis=0) for steps in self._steps)
        ends = np.arange(1, len(slope) + 1)[:, None]
        weights: Steps = np.clip(numerator - ends * slope, 0, self.open(which))
        return weights
