# SPDX-License-Identifier: Apache-2.0
"""How many events count as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from slabtrace.analysis.statistics.dispersion import dispersion, parts_filled

WITHIN = 1e-6  # between the events of a clump, in units of the time


def clumps(when: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.sort((when[:, None] + WITHIN * np.arange(size)).ravel())


def test_the_example() -> None:
    assert dispersion(clumps((np.arange(26) + 0.5) / 26, 5), 1.0) == pytest.approx(5.0)


@pytest.mark.parametrize("size", [2, 5, 20])
@pytest.mark.parametrize("number", [20, 200])
def test_clumps_at_random_times_count_once(size: int, number: int) -> None:
    times = clumps(np.sort(np.random.default_rng(1).random(number)), size)
    counted = len(times) / dispersion(times, 1.0)
    assert 0.7 * number < counted <= 1.02 * number


@pytest.mark.parametrize("number", [8, 60, 300, 2000])
def test_events_at_random_times_count_nearly_one_by_one(number: int) -> None:
    """A tenth of them is nearer to the next than CLOSE by chance, which costs a fifth at most."""
    rng = np.random.default_rng(number)
    found = [dispersion(np.sort(rng.random(number)), 1.0) for _ in range(200)]
    assert np.median(found) <= 1.22
    assert np.mean(np.array(found) > 1.5) < 0.05


@pytest.mark.parametrize("number", [64, 300])
def test_events_at_equal_times_count_one_by_one(number: int) -> None:
    assert dispersion((np.arange(number) + 0.5) / number, 1.0) == 1.0


def test_bursts_that_are_spread_wider_than_a_clump() -> None:
    """40 bursts of 25 objects, each spread over a 500th of the time, are far fewer than 1,000 events."""
    rng = np.random.default_rng(3)
    times = np.sort((rng.random(40)[:, None] * 0.99 + rng.random((40, 25)) / 500).ravel())
    assert dispersion(times, 1.0) > 8


def test_a_rate_that_changes_slowly_is_no_clump() -> None:
    rng = np.random.default_rng(4)
    times = np.sort(np.sqrt(rng.random(2000)))  # the rate rises from 0 to twice the mean
    assert dispersion(times, 1.0) < 1.6


@given(st.lists(st.floats(0, 1), max_size=40), st.floats(0.001, 1e6))
def test_it_does_not_depend_on_the_unit_of_time(times: list[float], unit: float) -> None:
    at = np.sort(np.array([round(each, 3) for each in times], float))
    assert dispersion(at * unit, unit) == pytest.approx(dispersion(at, 1.0), rel=0.2)
    assert 1.0 <= dispersion(at, 1.0) <= max(len(at), 1)


@pytest.mark.parametrize(("times", "length"), [([], 1.0), ([0.5], 1.0), ([0.1, 0.2], 0.0)])
def test_too_few_events_to_say(times: list[float], length: float) -> None:
    assert dispersion(np.array(times), length) == 1.0


def test_filled_parts() -> None:
    assert parts_filled((np.arange(160) + 0.5) / 160, 1.0) == pytest.approx(16)
    assert parts_filled(np.full(200, 0.4), 1.0) == 1.0
    assert parts_filled(np.array([0.1, 0.1, 0.9, 0.9]), 1.0) == 2.0
    assert parts_filled(np.array([0.0, 10.0]), 10.0) == 2.0  # the end is in the last part
    assert parts_filled(np.array([0.1] * 3 + [0.9]), 1.0) == pytest.approx(16 / 10)  # 4² / (3² + 1²)
    assert parts_filled(np.empty(0), 1.0) == parts_filled(np.array([0.1]), 0.0) == 0.0
