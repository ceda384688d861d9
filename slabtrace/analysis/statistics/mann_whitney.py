# SPDX-License-Identifier: Apache-2.0
"""The test of Mann and Whitney: whether values of one group tend to be larger than those of another.

(H. B. Mann and D. R. Whitney, Annals of Mathematical Statistics 18, 1947.)  Equal values share their ranks.
Of few values all ways to divide them are counted; of many the sum of ranks is as if normal, with the
variance that ties leave.

Example: {5, 7, 9} and {1, 2}.  The larger ones are all in the first group: 1 of C(5, 3) = 10 ways, p = 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, erfc, sqrt

import numpy as np
from numpy.typing import NDArray

MOST_COUNTED = 40  # values in all, of which all ways are counted


def larger(first: Sequence[int], second: Sequence[int]) -> float:
    """The probability of ranks of `first` at least as high, if both groups are alike.  1 if one is empty."""
    if not len(first) or not len(second):
        return 1.0
    doubled = _doubled_ranks([*first, *second])
    seen = int(doubled[: len(first)].sum())
    if len(doubled) <= MOST_COUNTED:
        return _counted(doubled, len(first), seen)
    return _normal(doubled, len(first), seen)


def least_p(first: int, second: int) -> float:
    """The least p that groups of these sizes can have."""
    return 1 / comb(first + second, first)


def _doubled_ranks(values: Sequence[int]) -> NDArray[np.int64]:
    """Twice the rank of each value: a whole number for ties, too."""
    _, inverse, counts = np.unique(np.array(values, np.int64), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    doubled: NDArray[np.int64] = (2 * ends - counts + 1)[inverse]
    return doubled


def _counted(doubled: NDArray[np.int64], number: int, seen: int) -> float:
    """The share of the ways to take `number` of the ranks whose sum is at least `seen`."""
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(number))]
    for rank in doubled.tolist():
        for taken in range(number - 1, -1, -1):
            for total, count in ways[taken].items():
                ways[taken + 1][total + rank] = ways[taken + 1].get(total + rank, 0) + count
    enough = sum(count for total, count in ways[number].items() if total >= seen)
    return enough / comb(len(doubled), number)


def _normal(doubled: NDArray[np.int64], number: int, seen: int) -> float:
    """With a correction for continuity of half a rank."""
    n = len(doubled)
    spread = float(np.var(doubled / 2, ddof=1))
    variance = number * (n - number) / n * spread
    if variance == 0:
        return 1.0
    z = (seen / 2 - number * (n + 1) / 2 - 0.5) / sqrt(variance)
    return min(0.5 * erfc(z / sqrt(2)), 1.0)
