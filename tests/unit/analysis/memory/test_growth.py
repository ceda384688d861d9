# SPDX-License-Identifier: Apache-2.0
"""Growth of bytes over time: what grows, what came once, what only goes up and down."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.analysis.memory.growth import FLAT, GROWING, RETAINED, SHRINKING, classes, growth

MIB = 1 << 20
S = 10**9


def grown(values: np.ndarray) -> str:
    times = np.arange(len(values)) * S
    return classes([growth(times, values.astype(float))])[0]


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.arange(65) * MIB, GROWING),
        (np.arange(65)[::-1] * MIB, SHRINKING),
        (np.where(np.arange(65) < 20, 0, 40 * MIB), RETAINED),
        (np.minimum(np.arange(65), 20) * MIB, RETAINED),  # it grew for a third of the time
        (np.arange(65) % 2 * MIB, FLAT),
        (np.full(65, 7 * MIB), FLAT),
        (np.arange(8) * MIB, ""),  # too few
    ],
)
def test_class(values: np.ndarray, name: str) -> None:
    assert grown(values) == name


def test_sixteen_equal_steps_have_their_rate_and_p() -> None:
    found = growth(np.arange(17) * S, np.arange(17.0) * MIB)
    assert found is not None
    assert found.p == 2**-16
    assert found.rate.rate == MIB
    assert found.rate.low < MIB < found.rate.high


def test_noise_is_rarely_called_growth() -> None:
    """Of 300 series of random steps at most a few: the level is 1 % of the whole."""
    rng = np.random.default_rng(7)
    steps = rng.normal(0, MIB, (300, 64))
    found = [growth(np.arange(65) * S, np.concatenate([[0], each.cumsum()])) for each in steps]
    assert classes(found).count(GROWING) <= 3


def test_growth_beneath_noise_is_found() -> None:
    """64 steps of 1 MiB ± 1 MiB: the sum is 8 standard deviations from 0."""
    steps = MIB + np.random.default_rng(3).normal(0, MIB, 64)
    assert grown(np.concatenate([[0], steps.cumsum()])) == GROWING


def test_many_samples_are_made_64_steps() -> None:
    found = growth(np.arange(86_400) * S, np.arange(86_400.0))
    assert found is not None
    assert found.least_p == 2**-64
    assert found.rate.rate == pytest.approx(1.0)


def test_times_before_the_first_reading_do_not_count() -> None:
    values = np.arange(20.0)
    values[:4] = np.nan
    found = growth(np.arange(20) * S, values)
    assert found is not None
    assert found.rate.rate == pytest.approx(1.0)
