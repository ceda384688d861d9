# SPDX-License-Identifier: Apache-2.0
"""What the tests could have found: the example, brute force, and leaks of just that rate."""

from __future__ import annotations

from math import exp, factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.leaks import evidence
from slabtrace.analysis.leaks.evidence import Evidence
from slabtrace.analysis.statistics.binomial import at_most
from slabtrace.analysis.statistics.discovery import LEVEL
from slabtrace.analysis.statistics.limits import (
    LEAST,
    OTHER_TESTS,
    POWER,
    expected_needed,
    factor_to_decide,
    objects_needed,
)

HORIZONS = np.array([1 / 16, 1 / 8, 1 / 4])
CASES = 300


def at_least_come(number: int, mean: float) -> float:
    return 1 - sum(exp(-mean) * mean**k / factorial(k) for k in range(number))


def test_the_example() -> None:
    assert objects_needed(300) == 15
    assert 2.0**-15 < LEVEL / 300 < 2.0**-14
    assert expected_needed(300) == 24
    assert at_least_come(15, 24) > POWER / OTHER_TESTS > at_least_come(15, 23.75)


@given(st.integers(1, 100_000))
def test_just_enough_objects_are_needed(tests: int) -> None:
    needed = objects_needed(tests)
    assert 0.5**needed <= LEVEL / tests * (1 + 1e-9)
    assert 0.5 ** (needed - 1) > LEVEL / tests * (1 - 1e-9) or needed == LEAST
    assert at_least_come(needed, expected_needed(tests)) >= POWER / OTHER_TESTS


@pytest.mark.parametrize("tests", [1, 10, 30, 300, 3000])
def test_a_leak_of_the_least_rate_is_found_in_95_of_100_cases(tests: int) -> None:
    """Objects that come at random times and stay, nothing else: the best case, as the verdict says."""
    rate, rng = expected_needed(tests) / (1 - HORIZONS[0]), np.random.default_rng(tests)
    none, number = np.empty(0), np.zeros(len(HORIZONS), np.int64)
    found = 0
    for _ in range(CASES):
        born = np.sort(rng.random(rng.poisson(rate)))
        result = evidence.tested(Evidence(HORIZONS, born, number, number.astype(float), none, none))
        found += result.p <= LEVEL / tests
    assert at_most(found, CASES, POWER) > 1e-3


@pytest.mark.parametrize(("kept", "gone", "dispersion"), [(400, 360, 1.0), (300, 200, 4.0), (5, 0, 1.0)])
def test_a_recording_longer_by_the_factor_decides(kept: float, gone: float, dispersion: float) -> None:
    factor = factor_to_decide(kept, gone, dispersion, 100)
    assert factor is not None and factor > 1
    assert factor_to_decide(factor * kept, factor * gone, dispersion, 100) == pytest.approx(1.0)


def test_what_shrinks_is_not_decided_by_more_time() -> None:
    assert factor_to_decide(10, 10, 1.0, 100) is None
    assert factor_to_decide(10, 11, 1.0, 100) is None


def test_what_is_decided_needs_no_more_time() -> None:
    assert factor_to_decide(1000, 0, 1.0, 100) == 1.0
