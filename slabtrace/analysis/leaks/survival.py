# SPDX-License-Identifier: Apache-2.0
"""Which of a group's objects are old, whether objects of that age were ever freed, and when they came.

Old is relative to what the group itself freed.  For an age h: of all objects that reached it, some
were freed later (`old_freed`) and some still live (`old`).  The horizon of a group is the least
age h from which on few of them were freed; without one, nothing it holds can be called kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import OCTAVES
from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.percentiles import percentile
from slabtrace.analysis.pairing.paired import Positions

LEAST_AGE_NS = 1_000_000_000  # RCU, deferred closes and workqueues free that late
SMALLEST_SHARE, LARGEST_SHARE = 1 / 16, 1 / 2  # of the recording, that a horizon may be
FREED_SHARE = 0.05  # the most of the objects beyond the horizon that may have been freed
PERIODS = 8  # that the time in which old objects came is divided into


@dataclass
class Survival:
    """Arrays of shape (g,).

    `horizon_ns`: the age from which on objects are called old, 0: the recording shows none.  `old`:
    living objects of that age; `old_freed`: those freed after they had reached it.  `sibling_ns`:
    median lifetime of all that was freed, NaN where nothing was.  `steadiness`: in how many of
    PERIODS parts of the time old objects came, of the parts that as many coming at random would fill
    (0 to 1).  `late_share`: of the old objects, those that came in the later half (0 to 1).
    """

    horizon_ns: NDArray[np.int64]
    old: Counts
    old_freed: Counts
    sibling_ns: NDArray[np.float64]
    steadiness: NDArray[np.float64]
    late_share: NDArray[np.float64]

    @property
    def kept_share(self) -> NDArray[np.float64]:
        """Of the objects that grew old, those not freed (0 to 1; 0 where none grew old)."""
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

    `since_ns`: since when objects came, if that was before the recording's `begin_ns`.
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
    sibling = np.minimum(percentile(lived, 0.5), end_ns - first_ns)  # within an octave that is a guess
    return Survival(horizon, old, old_freed, sibling, _steadiness(came), _late_share(came))


def horizons(length_ns: int) -> range:
    """The octaves k for which an age of 2^k ns is neither too young nor too old to judge by."""
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
