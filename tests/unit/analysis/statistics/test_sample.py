# SPDX-License-Identifier: Apache-2.0
"""A sample of one in N has hardly ever more of n things than is said, and not far fewer."""

from __future__ import annotations

from math import exp, lgamma, log

import numpy as np
import pytest

from slabtrace.analysis.statistics.sample import CHANCE, most_in_sample


def beyond(most: int, number: int, one_in: int) -> float:
    """How probable more than `most` are, term by term of the binomial distribution."""
    chance, total = 1 / one_in, 0.0
    for k in range(most + 1, min(number, most + 2_000) + 1):  # those later add nothing
        ways = lgamma(number + 1) - lgamma(k + 1) - lgamma(number - k + 1)
        total += exp(ways + k * log(chance) + (number - k) * log(1 - chance))
    return total


@pytest.mark.parametrize("one_in", [2, 16, 64, 4096])
@pytest.mark.parametrize("number", [0, 1, 7, 100, 5_003, 1_000_003])
def test_more_are_as_unlikely_as_said_and_it_is_not_far_above_that(number: int, one_in: int) -> None:
    """Compared with the binomial distribution itself, which allows for little less."""
    (most,) = most_in_sample(np.array([number]), one_in).tolist()
    assert most <= number and beyond(most, number, one_in) <= CHANCE
    mean = number / one_in
    assert most < 20 or beyond(int(mean + 0.6 * (most - mean)) - 10, number, one_in) > CHANCE


def test_the_example() -> None:
    assert most_in_sample(np.array([4_096]), 64).tolist() == [111]
    assert most_in_sample(np.array([4_096]), 1).tolist() == [4_096]
