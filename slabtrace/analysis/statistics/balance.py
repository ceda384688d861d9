# SPDX-License-Identifier: Apache-2.0
"""Whether as many objects came as went, where growth shows more in some of them: a sum with random signs.

If nothing grows, each object is of those that came with probability 1/2 (binomial.py); those that came or
went at once have one sign together (dispersion.py).  What leaks is as frequent at every age, what else there
is gets rarer.  So the weight of an age is the width of its class by the number of objects in it, which is
given: the weights are constants.  The tail of the sum is the saddlepoint approximation (R. Lugannani and
S. Rice, Advances in Applied Probability 12, 1980), less half a step of the least weight for continuity.

Example: 22 and 18, 33 and 24, 79 and 32 came and went that are 4 to 9, 9 to 17 and 17 to 64 s old.  All
together: 134 and 74, p = 2e-05.  With weights: p = 1e-06.
"""

from __future__ import annotations

from math import erfc, exp, pi, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Counts = NDArray[np.intp]

REGULAR = 1.0  # what is added to the number of each class, so that a single object never has all the weight
STEPS = 60  # of Newton's method, at most
NEAR = 1e-3  # standard deviations from the middle, where the formula is a difference of poles


class Lots(NamedTuple):
    """Objects that came or went at once: the `age` and the `size` of each lot, shape (n,)."""

    age: Numbers
    size: Numbers


def p_balanced(came: Lots, went: Lots, ages: Numbers) -> float:
    """Probability that chance alone gives so much more that came, if as many come as go.

    `ages`, shape (k + 1,): what parts the k classes of age.
    """
    both = Lots(np.concatenate([came.age, went.age]), np.concatenate([came.size, went.size]))
    of = np.clip(np.searchsorted(ages, both.age, "right") - 1, 0, len(ages) - 2)
    number = np.bincount(of, both.size, len(ages) - 1) / _mean_size(both)
    weights = (np.diff(ages) / (number + REGULAR))[of] * both.size
    sign = np.where(np.arange(len(of)) < len(came.age), 1.0, -1.0)
    return signed_sum_at_least(weights, float((sign * weights).sum()))


def least_p(came: Lots, went: Lots) -> float:
    """The least that p_balanced could have been with as many lots."""
    return float(0.5 ** (len(came.size) + len(went.size)))


def _mean_size(lots: Lots) -> float:
    """The mean size of the lot that an object is in."""
    return max(float(np.square(lots.size).sum() / lots.size.sum()), 1.0) if len(lots.size) else 1.0


def signed_sum_at_least(weights: Numbers, found: float) -> float:
    """Probability of `found` or more as the sum of `weights`, shape (n,), all positive, with random signs."""
    least = float(0.5 ** len(weights))
    if found >= weights.sum() * (1 - 1e-12):
        return least
    weight, number = np.unique(weights, return_counts=True)
    return max(_tail(weight, number, found - float(weight[0])), least)


def _tail(weight: Numbers, number: Counts, found: float) -> float:
    """The tail by Lugannani and Rice; the cumulant generating function is the sum of n log cosh(w t)."""
    if found <= 0:
        return 1.0
    t, curvature = _saddlepoint(weight, number, found)
    cumulant = float((number * (np.logaddexp(weight * t, -weight * t) - np.log(2))).sum())
    root, scaled = sqrt(max(2 * (t * found - cumulant), 0.0)), t * sqrt(curvature)
    if min(root, scaled) < NEAR:
        return 0.5 if root < 1 else 0.0
    density = exp(-root * root / 2) / sqrt(2 * pi)
    return min(max(erfc(root / sqrt(2)) / 2 + density * (1 / scaled - 1 / root), 0.0), 1.0)


def _saddlepoint(weight: Numbers, number: Counts, found: float) -> tuple[float, float]:
    """(where the slope of the cumulant generating function is `found`, its curvature there).

    The slope is concave, so Newton's method from 0 comes nearer from below.
    """
    t = 0.0
    for _ in range(STEPS):
        slope = np.tanh(weight * t)
        curvature = float((number * weight**2 * (1 - slope**2)).sum())
        missing = found - float((number * weight * slope).sum())
        if missing <= 1e-9 * found or curvature <= 0:
            break
        t += missing / curvature
    return t, curvature
