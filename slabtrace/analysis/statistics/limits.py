# SPDX-License-Identifier: Apache-2.0
"""What the tests could have found: the least rate that stands out in 95 of 100 cases, and how much longer
it takes.

Example: 300 groups were tested.  A pure leak stands out from 15 old objects on, 2^-15 = 3.1e-05 is less than
0.01 / 300.  At least 15 come in 98 of 100 cases where 24 are expected, and 97 of 100 of these pass the tests
for an end.
"""

from __future__ import annotations

from math import ceil, exp, log2, sqrt
from statistics import NormalDist

from slabtrace.analysis.statistics.discovery import LEVEL

POWER = 0.95
OTHER_TESTS = 0.97  # a leak passes the tests for an end in so many cases
STEP = 0.25
LEAST = 13  # fewer often fail the other tests: that they come all along, and do not die slowly


def objects_needed(tests: int) -> int:
    """The least number of old objects of a pure leak that stands out among `tests` groups."""
    return max(ceil(log2(max(tests, 1) / LEVEL)), LEAST)


def expected_needed(tests: int) -> float:
    """How many old objects must be expected, so that enough come in POWER of all cases."""
    least = objects_needed(tests)
    mean = float(least)
    while _poisson_below(least, mean) > 1 - POWER / OTHER_TESTS:
        mean += STEP
    return mean


def factor_to_decide(kept: float, gone: float, dispersion: float, tests: int) -> float | None:
    """How many times as long a recording must be for a growth such as this to stand out; None: it shrinks.

    The excess grows with the time, its standard deviation with the root of the time.
    """
    excess = kept - gone
    if excess <= 0:
        return None
    if gone < 1:
        return max(dispersion * expected_needed(tests) / kept, 1.0)
    normal = NormalDist()
    needed = normal.inv_cdf(1 - LEVEL / max(tests, 1)) + normal.inv_cdf(POWER)
    return max((needed * sqrt(dispersion * (kept + gone)) / excess) ** 2, 1.0)


def _poisson_below(number: int, mean: float) -> float:
    """Probability of fewer than `number` events where `mean` are expected."""
    term, total = exp(-mean), 0.0
    for k in range(number):
        total += term
        term *= mean / (k + 1)
    return total
