# SPDX-License-Identifier: Apache-2.0
"""Sums with random signs: the example, all signs tried out, the binomial distribution, steady populations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.statistics.balance import Lots, least_p, p_balanced, signed_sum_at_least
from slabtrace.analysis.statistics.binomial import at_least

AGES = np.array([4.3, 8.6, 17.2, 64.0])
SURE = 1e-4  # a case less likely than this is a fault


def singles(*of_class: int) -> Lots:
    """So many objects in the middle of each class of age, each a lot of its own."""
    middle = (AGES[1:] + AGES[:-1]) / 2
    return Lots(np.repeat(middle, of_class), np.ones(sum(of_class)))


def test_the_example() -> None:
    came, went = singles(22, 33, 79), singles(18, 24, 32)
    assert f"{at_least(134, 208):.0e}" == "2e-05"
    assert f"{p_balanced(came, went, AGES):.0e}" == "1e-06"


@given(st.lists(st.sampled_from([0.1, 0.3, 1.0, 2.5]), min_size=1, max_size=12), st.randoms())
def test_all_signs_tried_out(weights: list[float], rng: np.random.Generator) -> None:
    """The approximation is never far below the exact tail, and seldom far above."""
    sums = np.array([np.dot(sign, weights) for sign in product([1.0, -1.0], repeat=len(weights))])
    found = float(rng.choice(sums[sums > 0]))
    exact = float((sums >= found - 1e-9).mean())
    assert 0.5 * exact <= signed_sum_at_least(np.array(weights), found) <= min(3 * exact + 0.02, 1.0)


@pytest.mark.parametrize("total", [8, 24, 60, 400])
@pytest.mark.parametrize("share", [0.6, 0.75, 0.9, 1.0])
def test_equal_weights_are_the_binomial_distribution(total: int, share: float) -> None:
    came = round(total * share)
    exact = at_least(came, total)
    assert exact * 0.999 <= signed_sum_at_least(np.ones(total), 2 * came - total) <= 1.5 * exact


def test_all_came() -> None:
    came, none = singles(2, 3, 5), singles(0, 0, 0)
    assert p_balanced(came, none, AGES) == least_p(came, none) == 2.0**-10
    assert p_balanced(none, came, AGES) == p_balanced(none, none, AGES) == 1.0


def test_what_came_at_once_has_one_sign() -> None:
    """Five lots of 20 are no better evidence than five objects."""
    lots = Lots(np.full(5, 30.0), np.full(5, 20.0))
    assert p_balanced(lots, singles(0, 0, 0), AGES) == 2.0**-5


def test_a_large_lot_does_not_hide_a_leak_beside_it() -> None:
    """40 came one by one, and one lot of 30 went."""
    lot = Lots(np.array([5.0]), np.array([30.0]))
    assert p_balanced(singles(3, 5, 32), lot, AGES) < 1e-7


@pytest.mark.parametrize("live", [20, 300])
def test_a_steady_population_rarely_grows_by_chance(live: int) -> None:
    """Objects without memory, of which live / e^(age / 16) are as old, against as many that went."""
    rng, cases = np.random.default_rng(live), 2000
    mean = live * (np.exp(-AGES[:-1] / 16) - np.exp(-AGES[1:] / 16))
    p = [p_balanced(singles(*rng.poisson(mean)), singles(*rng.poisson(mean)), AGES) for _ in range(cases)]
    for level in (0.05, 0.01, 0.001):
        assert at_least(sum(each <= level for each in p), cases, level) > SURE
