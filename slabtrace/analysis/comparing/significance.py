# SPDX-License-Identifier: Apache-2.0
"""Whether two numbers of objects, or two rates, differ by more than chance explains.

Numbers: if n + m objects come by chance, the number in one of two recordings is binomial (Przyborowski and
Wilenski, 1940).  Objects come in clumps: a process leaves many at once.  The dispersion d (variance of the
number by its mean) is the size of a clump, and n / d clumps are compared (quasi-Poisson: Wedderburn, 1974;
McCullagh and Nelder, 1989).  Rates: their difference is normal, with the variances of both 95 % intervals.
If none came in some time, the same binomial decides, with the number of clumps that an interval implies.

Example: a stack left 300 objects in the newer recording and none in the older one of the same length.

    300 objects by 300 processes    d = 1      0 and 300 clumps    p = 2 / 2^300
    300 objects by one process      d = 300    0 and 1 clump       p = 1
"""

from __future__ import annotations

from math import comb, erfc, sqrt

import numpy as np
from numpy.typing import NDArray

MANY = 500  # objects
WIDTH = 2 * 1.96  # of a 95 % interval, in standard deviations
LEAST = 1e-12  # a variance, so that nothing is divided by 0

Numbers = NDArray[np.float64]


def numbers_differ(old: Numbers, new: Numbers, share: float, dispersion: Numbers) -> Numbers:
    """Two-sided p of each pair of numbers of objects, shape (n,).

    `share`: the share of the objects that the newer recording would have by chance, 0 < share < 1;
    `dispersion`, shape (n,): objects of a clump, at least 1.
    """
    clumps = (np.rint(each / np.maximum(dispersion, 1)).astype(int).tolist() for each in (old, new))
    return np.array([_binomial(more, less + more, share) for less, more in zip(*clumps, strict=True)], float)


def rates_differ(old: Numbers, new: Numbers, old_variance: Numbers, new_variance: Numbers) -> Numbers:
    """Two-sided p that each pair of rates is equal, shape (n,); 1 where one is not known (NaN)."""
    away = np.abs(new - old) / np.sqrt(np.maximum(old_variance + new_variance, LEAST))
    return np.array([erfc(each / sqrt(2)) for each in np.nan_to_num(away).tolist()], float)


def none_came(rate: Numbers, variance: Numbers, dispersion: Numbers, seconds: Numbers) -> Numbers:
    """Two-sided p that nothing comes in `seconds` where objects come at `rate`, each of shape (n,).

    A rate r with the variance v and the dispersion d is that of n = r^2 / v clumps in t = d r / v seconds.
    That all of them are there and none is here has the probability (1 + seconds / t)^-n.
    """
    known = np.nan_to_num(rate) > 0
    certain = np.where(known, rate, 1.0)
    spread = np.maximum(np.nan_to_num(variance), LEAST * certain)
    clumps = certain**2 / spread
    p: Numbers = 2 * np.exp(
        -clumps * np.log1p(np.maximum(seconds, 0) * spread / (certain * np.maximum(dispersion, 1)))
    )
    return np.where(known, np.minimum(p, 1.0), 1.0)


def variance_of(low: Numbers, high: Numbers) -> Numbers:
    """The variance of estimates with these 95 % intervals, shape (n,)."""
    deviation: Numbers = (high - low) / WIDTH
    return deviation**2


def _binomial(found: int, total: int, share: float) -> float:
    """Two-sided p that of `total` objects, each here with the probability `share`, `found` are here.

    Exact for few; for many the normal approximation, with a correction for continuity.
    """
    if total > MANY:
        away = max(abs(found - total * share) - 0.5, 0.0) / sqrt(total * share * (1 - share))
        return erfc(away / sqrt(2))
    tail = range(found + 1) if found <= total * share else range(found, total + 1)
    return min(2 * sum(comb(total, n) * share**n * (1 - share) ** (total - n) for n in tail), 1.0)
