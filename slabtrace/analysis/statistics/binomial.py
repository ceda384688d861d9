# SPDX-License-Identifier: Apache-2.0
"""Tails of the binomial distribution.

Of two Poisson counts with the same mean, each event is in the first with probability 1/2, given their sum:
the conditional test of two rates (J. Przyborowski and H. Wilenski, "Homogeneity of results in testing samples
from Poisson series", Biometrika 31, 1940).

Example: 22 objects came and none went.  If as many come as go, that has the probability 2^-22 = 2.4e-07.
"""

from __future__ import annotations

from math import erfc, exp, lgamma, log, sqrt

MANY = 4096  # from here on the normal approximation, with a correction for continuity
NEGLIGIBLE = 1e-18  # a term that no longer changes the sum


def at_least(found: int, total: int, share: float = 0.5) -> float:
    """Probability that of `total` events, each of the kind with probability `share`, at least `found` are."""
    return at_most(total - found, total, 1.0 - share)


def at_most(found: int, total: int, share: float = 0.5) -> float:
    """Probability that of `total` events, each of the kind with probability `share`, at most `found` are."""
    if found < 0:
        return 0.0
    if found >= total or share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    if total > MANY:
        away = (found + 0.5 - total * share) / sqrt(total * share * (1.0 - share))
        return erfc(-away / sqrt(2.0)) / 2.0
    if found > total * share:
        return 1.0 - _sum_down(total - found - 1, total, 1.0 - share)
    return _sum_down(found, total, share)


def _sum_down(found: int, total: int, share: float) -> float:
    """The sum of the probabilities of `found`, found - 1, …, which fall from the first on."""
    term = exp(
        lgamma(total + 1)
        - lgamma(found + 1)
        - lgamma(total - found + 1)
        + found * log(share)
        + (total - found) * log(1.0 - share)
    )
    sum_, odds = 0.0, (1.0 - share) / share
    while found >= 0 and term > NEGLIGIBLE * sum_:
        sum_ += term
        term *= odds * found / (total - found + 1)
        found -= 1
    return min(sum_, 1.0)
