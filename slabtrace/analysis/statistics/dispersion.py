# SPDX-License-Identifier: Apache-2.0
"""How clumped events are: the variance of their counts by the mean, 1 for events at random times (Poisson).

A process that starts leaves 20 objects at once: 60 objects of three starts are the evidence of three events.
The variance of counts in equal parts of the time is taken from the differences of neighbouring parts, which a
trend does not change (J. von Neumann et al., "The mean square successive difference", Annals of Mathematical
Statistics 12, 1941).  It counts where chance does not explain it.  Events within a CLUMP are one clump.

Example: 130 objects in 26 clumps of 5.  Dispersion 5: they count as 26.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

PARTS = (64, 16)  # the numbers of equal parts of the time that are tried
CLUMP = 1 / 4096  # of the time; at most
CLOSE = 0.1  # of the mean distance between events, where there are any: closer ones may be a clump
EDGES = 2  # the largest differences may be those of a beginning and an end
Z99 = 2.33  # of the normal distribution: chance explains 99 of 100


def dispersion(times: NDArray[np.float64], length: float) -> float:
    """The dispersion, at least 1, of events at `times`, shape (n,), ascending, in [0, length]."""
    if len(times) < 2 or length <= 0:
        return 1.0
    found = _of_clumps(times, length)
    for parts in PARTS:
        counts = np.bincount(_part(times, length, parts), minlength=parts)
        both = counts[1:] + counts[:-1]
        each = np.square(np.diff(counts))[both > 0] / both[both > 0]
        if len(each) > EDGES:
            by_mean = float(np.sort(each)[:-EDGES].mean())
            if by_mean > found * _by_chance(len(each) - EDGES):
                found = by_mean
    return found


def parts_filled(times: NDArray[np.float64], length: float, parts: int = 16) -> float:
    """In how many of so many equal parts of the time events came, parts with few of them counting less.

    That is (the sum of the counts)² by the sum of their squares: `parts` if they came evenly, 1 if at once.
    """
    if not len(times) or length <= 0:
        return 0.0
    counts = np.bincount(_part(times, length, parts), minlength=parts)
    return len(times) ** 2 / float(np.square(counts).sum())


def _part(times: NDArray[np.float64], length: float, parts: int) -> NDArray[np.intp]:
    return np.clip(times * (parts / length), 0, parts - 1).astype(np.intp)


def _of_clumps(times: NDArray[np.float64], length: float) -> float:
    """The mean size of the clump that an event is in."""
    filled = parts_filled(times, length, PARTS[0]) / PARTS[0]
    apart = min(CLUMP, CLOSE * filled / len(times)) * length
    first = np.flatnonzero(np.diff(times) > apart) + 1
    sizes = np.diff(np.concatenate([[0], first, [len(times)]]))
    return float(np.square(sizes).sum()) / len(times)


def _by_chance(parts: float) -> float:
    """What chance alone reaches in one of a hundred cases, in so many parts (those with events count).

    Differences of neighbours are worth two thirds of as many independent values; chi-square by Wilson and
    Hilferty (1931).
    """
    freedom = max(parts, 1.0) * 2 / 3
    return float((1 - 2 / (9 * freedom) + Z99 * sqrt(2 / (9 * freedom))) ** 3)
