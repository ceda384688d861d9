# SPDX-License-Identifier: Apache-2.0
"""How clumped events are: in which lots they count as one, and how many are in a lot.

A process that starts leaves 20 objects at once: 60 objects of three starts are the evidence of three events.
Events within a CLUMP are one clump.  Do the clumps come in bursts, too, so that their counts in equal parts
of the time vary more than by chance, as many of them count as one: the variance of the counts by their mean,
which is 1 at random times (Poisson).  It is taken from the differences of neighbouring parts, which a trend
does not change (J. von Neumann et al., "The mean square successive difference", Annals of Mathematical
Statistics 12, 1941).

Example: 130 objects in 26 clumps of 5.  Dispersion 5: they count as 26.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

PARTS = (64, 16)  # the numbers of equal parts of the time that are tried
CLUMP = 1 / 512  # of the time; at most
CLOSE = 0.1  # of the mean distance between events, where there are any: closer ones may be a clump
EDGES = 2  # the largest differences may be those of a beginning and an end
Z99 = 2.33  # of the normal distribution: chance explains 99 of 100


def dispersion(times: NDArray[np.float64], length: float) -> float:
    """The dispersion, at least 1, of events at `times`, shape (n,), ascending, in [0, length].

    The mean size of the lot that an event is in.
    """
    if len(times) < 2 or length <= 0:
        return 1.0
    sizes = np.diff(np.append(lots(times, length), len(times)))
    return float(np.square(sizes).sum()) / len(times)


def lots(times: NDArray[np.float64], length: float) -> NDArray[np.intp]:
    """Where each lot begins that counts as one event: indices into `times`, shape (lots,).

    A lot is a clump, or where clumps do not come at random times either, as many of them as the dispersion of
    their counts says.
    """
    begin = _clumps(times, length)
    if len(begin) < 2:
        return begin
    together = _of_counts(times[begin], length)
    first = np.flatnonzero(np.diff(np.arange(len(begin)) // together)) + 1
    found: NDArray[np.intp] = begin[np.append(0, first)]
    return found


def parts_filled(times: NDArray[np.float64], length: float, parts: int = 16) -> float:
    """In how many of so many equal parts of the time events came, parts with few of them counting less.

    That is (the sum of the counts)² by the sum of their squares: `parts` if they came evenly, 1 if at once.
    A burst that falls into two parts is in one of those that begin half a part later: the less counts.
    """
    if not len(times) or length <= 0:
        return 0.0
    halves = np.bincount(_part(times, length, 2 * parts), minlength=2 * parts)
    shifted = np.concatenate([[0], halves, [0]])
    squares = (np.square(each[::2] + each[1::2]).sum() for each in (halves, shifted))
    return len(times) ** 2 / float(max(squares))


def _part(times: NDArray[np.float64], length: float, parts: int) -> NDArray[np.intp]:
    return np.clip(times * (parts / length), 0, parts - 1).astype(np.intp)


def _clumps(times: NDArray[np.float64], length: float) -> NDArray[np.intp]:
    """Where each clump begins: indices into `times`."""
    if not len(times):
        return np.empty(0, np.intp)
    filled = parts_filled(times, length, PARTS[0]) / PARTS[0]
    apart = min(CLUMP, CLOSE * filled / len(times)) * length
    return np.append(0, np.flatnonzero(np.diff(times) > apart) + 1)


def _of_counts(times: NDArray[np.float64], length: float) -> float:
    """The variance of counts in parts of the time by their mean, where chance does not explain it, or 1."""
    found = 1.0
    for parts in PARTS:
        counts = np.bincount(_part(times, length, parts), minlength=parts)
        both = counts[1:] + counts[:-1]
        each = np.square(np.diff(counts))[both > 0] / both[both > 0]
        if len(each) > EDGES:
            by_mean = float(np.sort(each)[:-EDGES].mean())
            if by_mean > found * _by_chance(len(each) - EDGES):
                found = by_mean
    return found


def _by_chance(parts: float) -> float:
    """What chance alone reaches in one of a hundred cases, in so many parts (those with events count).

    Differences of neighbours are worth two thirds of as many independent values; chi-square by Wilson and
    Hilferty (1931).
    """
    freedom = max(parts, 1.0) * 2 / 3
    return float((1 - 2 / (9 * freedom) + Z99 * sqrt(2 / (9 * freedom))) ** 3)
