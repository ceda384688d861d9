# SPDX-License-Identifier: Apache-2.0
"""The tests of numbers and rates, against probabilities computed by hand and against simulated recordings."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from slabtrace.analysis.comparing.significance import none_came, numbers_differ, rates_differ, variance_of


def numbers(old: int, new: int, share: float = 0.5, dispersion: float = 1.0) -> float:
    return float(numbers_differ(np.array([old]), np.array([new]), share, np.array([dispersion]))[0])


def none(rate: float, variance: float, seconds: float, dispersion: float = 1.0) -> float:
    given = (np.array([each]) for each in (rate, variance, dispersion, seconds))
    return float(none_came(*given)[0])


def rates(old: float, new: float, old_variance: float, new_variance: float) -> float:
    given = (np.array([each]) for each in (old, new, old_variance, new_variance))
    return float(rates_differ(*given)[0])


@pytest.mark.parametrize(
    ("old", "new", "share", "p"),
    [
        (0, 2, 0.5, 0.5),  # twice 1/4
        (0, 9, 0.5, 2 / 2**9),
        (3, 3, 0.5, 1.0),
        (0, 2, 1 / 17, 2 / 17**2),  # the older one recorded all addresses, the newer one in 16
        (2, 0, 1 / 17, 1.0),  # nothing to be surprised at: 16 of 17 were expected there
        (0, 0, 0.5, 1.0),
    ],
)
def test_numbers_are_binomial(old: int, new: int, share: float, p: float) -> None:
    assert numbers(old, new, share) == pytest.approx(min(p, 1.0))


def test_many_objects_are_compared_as_few_are() -> None:
    """251 of 501 by the exact sum and 300 of 501 by the normal approximation are on the right side."""
    assert numbers(250, 250) == 1.0 and numbers(251, 251) > 0.9
    assert numbers(201, 300) < 1e-4 and numbers(200, 300) < 1e-4
    assert numbers(997, 997) == 1.0


def test_a_clump_counts_once() -> None:
    assert numbers(0, 300, dispersion=300) == 1.0  # one process more
    assert numbers(300, 900, dispersion=300) == numbers(1, 3)
    assert numbers(0, 300, dispersion=1) < 1e-80
    assert numbers(0, 5, dispersion=300) == 1.0


@pytest.mark.parametrize("clump", [1, 30, 300])
def test_equal_recordings_rarely_differ_however_objects_come(clump: int) -> None:
    """1,000 pairs of recordings in which 40 processes are expected, each leaving `clump` objects."""
    rng = np.random.default_rng(7)
    old, new = (rng.poisson(40, 1000).astype(float) * clump for _ in range(2))
    p = numbers_differ(old, new, 0.5, np.full(1000, float(clump)))
    assert 0.01 < (p < 0.05).mean() < 0.06
    if clump > 1:  # and by objects they would nearly always differ
        assert (numbers_differ(old, new, 0.5, np.ones(1000)) < 0.05).mean() > 0.5


def test_rates_differ_by_their_intervals() -> None:
    assert rates(2.0, 2.0, 0.01, 0.01) == 1.0
    assert rates(2.0, 2.196, 0.005, 0.005) == pytest.approx(0.05, abs=1e-3)  # 1.96 deviations of 0.1
    assert rates(2.0, 5.0, 0.01, 0.01) < 1e-80
    assert rates(2.0, 2.0, 0.0, 0.0) == 1.0 and rates(2.0, 2.1, 0.0, 0.0) == 0.0
    assert rates(float("nan"), 2.0, 0.01, 0.01) == 1.0


def test_none_came_is_the_binomial_of_the_clumps_of_a_rate() -> None:
    """60 objects in 60 s: a rate of 1/s with a variance of 1/60; all came in 60 of 70 s."""
    assert none(1.0, 1 / 60, 10.0) == pytest.approx(2 * (6 / 7) ** 60)
    assert none(1.0, 10 / 60, 10.0, dispersion=10.0) == pytest.approx(2 * (6 / 7) ** 6)  # in clumps of ten
    assert none(1.0, 0.0, 10.0) == pytest.approx(2 * exp(-10), rel=1e-6)  # a rate that is certain


@pytest.mark.parametrize(
    ("rate", "variance", "seconds"),
    [(0.0, 0.0, 60.0), (-1.0, 0.1, 60.0), (1.0, 0.1, 0.0), (1.0, 0.1, -1.0), (float("nan"), 1.0, 60.0)],
)
def test_no_time_and_no_rate_prove_nothing(rate: float, variance: float, seconds: float) -> None:
    assert none(rate, variance, seconds) == 1.0


def test_the_variance_of_an_interval() -> None:
    assert variance_of(np.array([2 - 1.96]), np.array([2 + 1.96])) == pytest.approx([1.0])
