# SPDX-License-Identifier: Apache-2.0
"""Which findings stand out: error rates by simulation, the number of tests by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.statistics.binomial import at_least, at_most
from slabtrace.analysis.statistics.discovery import LEVEL, number_of_tests, stand_out

CASES = 4000
SURE = 1e-4  # a case less likely than this is a fault


def least(number: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.zeros(number)


@pytest.mark.parametrize("number", [1, 10, 300])
@pytest.mark.parametrize("level", [LEVEL, 0.05])
def test_where_nothing_leaks_one_recording_in_a_hundred_has_a_finding(number: int, level: float) -> None:
    rng = np.random.default_rng(number)
    wrong = sum(bool(stand_out(rng.random(number), least(number), level).any()) for _ in range(CASES))
    assert at_least(wrong, CASES, level) > SURE  # not more often
    assert at_most(wrong, CASES, level) > SURE  # nor less: BH is exact here


def test_of_what_stands_out_one_in_a_hundred_is_wrong() -> None:
    rng, wrong, found = np.random.default_rng(7), 0, 0
    for _ in range(500):
        p = np.concatenate([rng.random(50) * 1e-5, rng.random(250)])
        out = stand_out(p, least(300))
        assert out[:50].all()
        wrong, found = wrong + int(out[50:].sum()), found + int(out.sum())
    assert 0.004 < wrong / found <= 0.0115


@given(st.lists(st.floats(0, 1), max_size=30), st.sampled_from([LEVEL, 0.05, 0.5]))
def test_the_number_of_tests_by_its_definition(least_p: list[float], level: float) -> None:
    tests = number_of_tests(np.array(least_p, float), level)
    fits = [k for k in range(1, len(least_p) + 1) if sum(p <= level / k for p in least_p) <= k]
    assert tests == min(fits, default=0)


def test_groups_that_cannot_stand_out_do_not_count() -> None:
    """Of 300 groups, 290 have 8 objects, which cannot reach p = 0.0039 / 10."""
    least_p = np.concatenate([np.full(290, 2.0**-8), np.full(10, 2.0**-40)])
    assert number_of_tests(least_p) == 10
    p = np.concatenate([least_p[:290], np.full(10, 9e-4)])
    assert stand_out(p, least_p).tolist() == [False] * 290 + [True] * 10


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20))
def test_a_smaller_p_never_stands_out_less(pairs: list[tuple[float, float]]) -> None:
    p = np.array([max(pair) for pair in pairs], float)
    least_p = np.zeros(len(p))
    out = stand_out(p, least_p)
    assert not len(p) or not out.any() or p[out].max() <= p[~out].min(initial=1.0)
    assert (stand_out(p / 2, least_p) | ~out).all()


def test_nothing_was_tested() -> None:
    none = np.empty(0)
    assert stand_out(none, none).tolist() == [] and number_of_tests(none) == 0
