# SPDX-License-Identifier: Apache-2.0
"""Whether a place that freed objects of a group no longer does, although such objects still come.

Objects count by when they were allocated.  If nothing changed, those that the place freed are a sample of
all.  Then the chance that none of the later ones is among them is (share of objects that came before) to the
power of their number; what came in one part of the time counts once, because frees come in bursts.  This
must be rare among all places that are looked at, the pause must be much longer than any before, and objects
that are too young to have been freed are left out.

Example: 600 objects came evenly in 60 s.  Of the 300 of the first 30 s, 200 were freed at A and 100 at B; of
the later ones all at B.  A has frees in 30 of 60 parts: (300 / 600)^30 = 1e-9.  A stopped.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.001  # the chance of one wrong "stopped" among all places
LEAST_PARTS = 6  # with objects that the place freed
LEAST_PARTS_AFTER = 4  # with objects that came later
PAUSES = 3  # so many times as many objects came since as in the longest pause before
LIVES = 2  # so many times the longest life of an object that the place freed is old enough


class Siblings(NamedTuple):
    """The objects of a group by the part of the time in which they were allocated, shape (m,).

    `known`: those outstanding, or seen freed; `missed`: those whose free was missed.  `unsure`: how many of
    the outstanding ones may have been freed without being seen.
    """

    known: NDArray[np.int64]
    missed: NDArray[np.int64]
    unsure: int = 0


def stopped(mine: NDArray[np.int64], siblings: Siblings, old_enough: int, tests: int) -> bool:
    """Whether the place stopped that freed `mine`, shape (m,), by the part in which they were allocated.

    `old_enough`: how many of the first parts have no object that is too young.  `tests`: how many places
    there are.
    """
    every = siblings.known
    some = np.flatnonzero(mine)
    if len(some) < LEAST_PARTS:
        return False
    later = every[some[-1] + 1 : old_enough]
    since = int(later.sum() - siblings.missed[some[-1] + 1 :].sum()) - siblings.unsure
    if (later > 0).sum() < LEAST_PARTS_AFTER or since < PAUSES * max(_longest_pause(some, every), 1):
        return False
    before = int(every[: some[-1] + 1].sum())
    chance = (before / (before + since)) ** len(some)
    return bool(chance * max(tests, 1) < LEVEL)


def old_enough(longest_ns: int, part_ns: int, length_ns: int) -> int:
    """How many parts of a time of `length_ns` ended LIVES times `longest_ns` before its end."""
    return int(max(length_ns - LIVES * longest_ns, 0) // part_ns)


def _longest_pause(some: NDArray[np.intp], every: NDArray[np.int64]) -> int:
    """The most objects that came between two parts with frees of the place, `some` (ascending)."""
    came = np.cumsum(every)
    return int((came[some[1:] - 1] - came[some[:-1]]).max(initial=0))
