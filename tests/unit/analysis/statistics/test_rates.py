# SPDX-License-Identifier: Apache-2.0
"""The interval of the difference of two rates: its example, and how often it covers the truth."""

from __future__ import annotations

from math import exp, lgamma, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.statistics.rates import of_difference


def poisson(number: int, mean: float) -> float:
    return exp(number * log(mean) - mean - lgamma(number + 1)) if mean else float(number == 0)


def covered(came: float, went: float) -> float:
    """The exact probability that the interval holds the difference of two Poisson means."""
    found = 0.0
    for a in range(int(came + 8 * came**0.5 + 20)):
        for b in range(int(went + 8 * went**0.5 + 20)):
            rate = of_difference(a, b, 1.0, 1.0)
            if rate.low <= came - went <= rate.high:
                found += poisson(a, came) * poisson(b, went)
    return found


def test_the_example() -> None:
    rate = of_difference(64, 9, 1.0, 60.0)
    assert [f"{each:.2f}" for each in rate] == ["0.92", "0.65", "1.22"]


@pytest.mark.parametrize(("came", "went"), [(10, 0), (20, 20), (30, 3), (60, 0), (64, 9), (9, 30)])
def test_the_interval_covers_the_truth_in_95_of_100_cases(came: float, went: float) -> None:
    assert 0.935 < covered(came, went) < 0.98


@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(1, 50), st.floats(0.1, 1e5))
def test_properties(came: int, went: int, dispersion: float, length: float) -> None:
    rate = of_difference(came, went, dispersion, length)
    assert rate.low <= rate.rate <= rate.high
    other = of_difference(went, came, dispersion, length)
    assert other.low == pytest.approx(-rate.high) and other.high == pytest.approx(-rate.low)
    single = of_difference(came, went, 1.0, length)
    assert rate.high - rate.low >= (single.high - single.low) * (1 - 1e-9)


def test_clumps_count_once() -> None:
    """50 clumps of 4 have the interval of 50 events, four times as wide."""
    one, four = of_difference(50, 10, 1.0, 1.0), of_difference(200, 40, 4.0, 1.0)
    assert [4 * each for each in one] == pytest.approx(list(four))
