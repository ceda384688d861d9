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
CLOSE = 0.1  # of the mean distance between events: closer ones may be a clump
Z99 = 2.33  # of the normal distribution: chance explains 99 of 100


def dispersion(times: NDArray[np.float64], length: float) -> float:
    """The dispersion, at least 1, of events at `times`, shape (n,), ascending, in [0, length]."""
    if len(times) < 2 or length <= 0:
        return 1.0
    found = _of_clumps(times, length)
    for parts in PARTS:
        part = np.minimum(times * (parts / length), parts - 1).astype(np.intp)
        counts = np.bincount(np.maximum(part, 0), minlength=parts)
        by_mean = float(np.square(np.diff(counts)).sum()) / (2 * (parts - 1)) / (len(times) / parts)
        if by_mean > _by_chance(parts):
            found = max(found, by_mean)
    return found


def _of_clumps(times: NDArray[np.float64], length: float) -> float:
    """The mean size of the clump that an event is in."""
    apart = min(CLUMP * length, CLOSE * length / len(times))
    first = np.flatnonzero(np.diff(times) > apart) + 1
    sizes = np.diff(np.concatenate([[0], first, [len(times)]]))
    return float(np.square(sizes).sum()) / len(times)


def _by_chance(parts: int) -> float:
    """What chance alone reaches in one of a hundred cases.

    Differences of neighbours are worth two thirds of as many independent values; chi-square by Wilson and
    Hilferty (1931).
    """
    freedom = (parts - 1) * 2 / 3
    return float((1 - 2 / (9 * freedom) + Z99 * sqrt(2 / (9 * freedom))) ** 3)
