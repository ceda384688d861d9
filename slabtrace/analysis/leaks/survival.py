# SPDX-License-Identifier: Apache-2.0
"""Which objects of a group are old, whether objects of that age are ever freed, and when they were allocated.

For an age h, of all objects that got as old as that, some were freed later (`old_freed`) and some are still
live (`old`).  The horizon of a group is the least age h from which on few of them were freed; where there is
none, the greatest age tried that a live object reached.  A group without a horizon has no old objects.

Example: a recording of 64 s; 1,000 objects lived about 3 ms, 4 lived 6 s, and 40 are live, one allocated
every second from 24 s on.  Powers of two from 4 s (64 s / 16) to 32 s are tried.

     age h   freed later   live and older   share freed
     4.3 s             4               36          10 %   more than FREED_SHARE
     8.6 s             0               32           0 %   the horizon
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import OCTAVES
from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.percentiles import percentile
from slabtrace.analysis.pairing.paired import Positions

LEAST_AGE_NS = 1_000_000_000  # RCU, deferred closes and workqueues free up to that late
SMALLEST_SHARE, LARGEST_SHARE = 1 / 16, 1 / 2  # of the recording: limits of the horizon
FREED_SHARE = 0.05  # of the objects older than the horizon, at most, were freed
PERIODS = 8  # equal parts of the time in which old objects were allocated


@dataclass
class Survival:
    """Of g groups, arrays of shape (g,).

    `horizon_ns`: the age from which on objects are old; 0 if the recording shows none.  `old`: live objects
    of that age; `old_freed`: objects freed after they had reached it.  `sibling_ns`: median lifetime of the
    freed objects, NaN without any.  `steadiness`: the number of PERIODS in which old objects were allocated,
    by the number that as many allocations at random times would fill (0 to 1).  `late_share`: share of the
    old objects that were allocated in the later half (0 to 1).
    """

    horizon_ns: NDArray[np.int64]
    old: Counts
    old_freed: Counts
    sibling_ns: NDArray[np.float64]
    steadiness: NDArray[np.float64]
    late_share: NDArray[np.float64]

    @property
    def kept_share(self) -> NDArray[np.float64]:
        """Of the objects that got older than the horizon, the share not freed (0 to 1; 0 without any)."""
        share: NDArray[np.float64] = self.old / np.maximum(self.old + self.old_freed, 1)
        return share


def survival(
    lived: Counts,
    alloc_ns: NDArray[np.int64],
    member: Positions,
    begin_ns: int,
    end_ns: int,
    since_ns: int | None = None,
) -> Survival:
    """`lived`: shape (g, OCTAVES), see Ages; `alloc_ns`, `member`: time and group of the live objects.

    `since_ns`: the time of the oldest allocation, if it was before the recording's `begin_ns`.
    """
    groups, length = len(lived), end_ns - begin_ns
    horizon, old, old_freed = (np.zeros(groups, np.int64) for _ in range(3))
    age = end_ns - alloc_ns
    for octave in horizons(length):
        aged = np.bincount(member[age >= 1 << octave], minlength=groups)
        freed = lived[:, octave:].sum(axis=1)
        undecided = old_freed > FREED_SHARE * (old + old_freed)
        better = (aged > 0) & ((horizon == 0) | undecided)
        horizon[better], old[better], old_freed[better] = 1 << octave, aged[better], freed[better]
    is_old = age >= np.where(horizon > 0, horizon, length + 1)[member]
    until = begin_ns + length - horizon
    first_ns = begin_ns if since_ns is None else since_ns
    came = _came(alloc_ns[is_old], member[is_old], first_ns, until, groups)
    sibling = np.minimum(
        percentile(lived, 0.5), end_ns - first_ns
    )  # interpolated within an octave, so it may be too long
    return Survival(horizon, old, old_freed, sibling, _steadiness(came), _late_share(came))


def horizons(length_ns: int) -> range:
    """The octaves k of the ages 2^k ns that may be a horizon."""
    least = max(LEAST_AGE_NS, SMALLEST_SHARE * length_ns)
    first = int(np.ceil(np.log2(least)))
    last = int(np.floor(np.log2(max(LARGEST_SHARE * length_ns, 1))))
    return range(first, min(last, OCTAVES - 1) + 1)


def _came(
    alloc_ns: NDArray[np.int64], member: Positions, begin_ns: int, until_ns: NDArray[np.int64], groups: int
) -> Counts:
    """Old objects of each group by the period in which they were allocated, shape (g, PERIODS).

    The periods divide the time from `begin_ns` to `until_ns`, the latest allocation of an old object.
    """
    width = np.maximum(until_ns - begin_ns, 1)[member]
    part = np.clip((alloc_ns - begin_ns) * PERIODS // width, 0, PERIODS - 1)
    cells = np.bincount(member * PERIODS + part, minlength=groups * PERIODS)
    return cells.reshape(groups, PERIODS)


def _steadiness(came: Counts) -> NDArray[np.float64]:
    number = came.sum(axis=1)
    expected = PERIODS * (1 - (1 - 1 / PERIODS) ** number)
    filled = (came > 0).sum(axis=1)
    share: NDArray[np.float64] = np.where(number > 1, np.minimum(filled / np.maximum(expected, 1), 1.0), 0.0)
    return share


def _late_share(came: Counts) -> NDArray[np.float64]:
    late: NDArray[np.float64] = came[:, PERIODS // 2 :].sum(axis=1) / np.maximum(came.sum(axis=1), 1)
    return late
