# SPDX-License-Identifier: Apache-2.0
"""The interval of a rate that is the difference of two counts.

Each count has the score interval of a Poisson mean, n + z²/2 ± z √(n + z²/4), in units of its dispersion.
The difference has the interval that follows from the two (MOVER: G. Zou and A. Donner, "Construction of
confidence limits about effect measures", Statistics in Medicine 27, 2008).

Example: 64 came and 9 went in 60 s: 55 in 60 s, 0.92 a second (0.65 to 1.22).
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

Z95 = 1.96  # of the normal distribution: an interval of 95 %


class Rate(NamedTuple):
    """A rate and its 95 % interval, per unit of the time."""

    rate: float
    low: float
    high: float


def of_difference(came: float, went: float, dispersion: float, length: float) -> Rate:
    """The rate at which more came than went in the time `length`, both counts with this `dispersion`."""
    came_low, came_high = _poisson(came, dispersion)
    went_low, went_high = _poisson(went, dispersion)
    middle = came - went
    low = middle - sqrt((came - came_low) ** 2 + (went_high - went) ** 2)
    high = middle + sqrt((came_high - came) ** 2 + (went - went_low) ** 2)
    return Rate(middle / length, low / length, high / length)


def _poisson(count: float, dispersion: float) -> tuple[float, float]:
    """The score interval of a mean of which `count` was seen."""
    number = count / dispersion
    reach = Z95 * sqrt(number + Z95**2 / 4)
    middle = number + Z95**2 / 2
    return dispersion * (middle - reach), dispersion * (middle + reach)
