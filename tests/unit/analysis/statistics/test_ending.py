# SPDX-License-Identifier: Apache-2.0
"""Whether events have ended."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.statistics.binomial import at_least
from slabtrace.analysis.statistics.ending import GAP_LEVEL, LATE_LEVEL, ended

CASES = 2000


def test_the_example() -> None:
    times = np.linspace(0, 60, 500)
    assert (60 / 64) ** 500 < 1.05e-14
    assert ended(times, 64.0)
    assert not ended(times, 60.0)


@pytest.mark.parametrize("number", [1, 8, 30, 500])
def test_events_at_random_times_have_rarely_ended(number: int) -> None:
    rng = np.random.default_rng(number)
    wrong = sum(ended(np.sort(rng.random(number)), 1.0) for _ in range(CASES))
    assert at_least(wrong, CASES, GAP_LEVEL + LATE_LEVEL) > 1e-4


def test_a_last_quarter_with_far_fewer() -> None:
    """150 in the first three quarters, 6 in the last, the last of them at the end."""
    early, late = np.linspace(0, 0.74, 150), np.linspace(0.8, 1.0, 6)
    assert ended(np.concatenate([early, late]), 1.0)


def test_a_last_quarter_with_somewhat_fewer_has_not_ended() -> None:
    """A fifth of 1,000 is certainly less than a quarter, but objects still come."""
    assert not ended(np.concatenate([np.linspace(0, 0.749, 800), np.linspace(0.75, 1.0, 200)]), 1.0)


def test_clumps_are_worth_one_event() -> None:
    """100 objects of two starts, at 30 and 60 % of the time: another start may come."""
    times = np.repeat([0.3, 0.6], 50)
    assert ended(times, 1.0)
    assert not ended(times, 1.0, dispersion=50.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(1, 20))
def test_a_longer_silence_never_makes_it_go_on(times: list[float], dispersion: float) -> None:
    at = np.sort(np.array(times, float))
    if ended(at, 1.0, dispersion):
        assert ended(at, 2.0, dispersion)


@pytest.mark.parametrize(("times", "length"), [([], 1.0), ([0.0], 0.0)])
def test_nothing_to_say(times: list[float], length: float) -> None:
    assert not ended(np.array(times, float), length)
