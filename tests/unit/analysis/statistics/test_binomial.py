# SPDX-License-Identifier: Apache-2.0
"""Tails of the binomial distribution beside exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.statistics.binomial import MANY, at_least, at_most

SHARES = (Fraction(1, 2), Fraction(1, 4), Fraction(15, 100), Fraction(9, 10))


def exact(found: int, total: int, share: Fraction) -> float:
    """Probability of at most `found`, in whole numbers until the end."""
    kind, rest = share.numerator, share.denominator - share.numerator
    terms = (comb(total, k) * kind**k * rest ** (total - k) for k in range(found + 1))
    return float(Fraction(sum(terms), share.denominator**total))


def test_the_example() -> None:
    assert at_least(22, 22) == pytest.approx(2.0**-22, rel=1e-9)
    assert f"{at_least(22, 22):.1e}" == "2.4e-07"


@given(st.integers(0, 120), st.integers(-2, 122), st.sampled_from(SHARES))
def test_tails_are_those_of_exact_fractions(total: int, found: int, share: Fraction) -> None:
    below = exact(min(found, total), total, share)
    above = 1 - Fraction(exact(min(found - 1, total), total, share))
    assert at_most(found, total, float(share)) == pytest.approx(below, rel=1e-9, abs=1e-15)
    assert at_least(found, total, float(share)) == pytest.approx(float(above), rel=1e-9, abs=1e-14)


@given(st.integers(0, 400), st.integers(-1, 401))
def test_what_comes_and_what_goes_are_alike(total: int, found: int) -> None:
    assert at_least(found, total) == pytest.approx(at_most(total - found, total), rel=1e-12)


def test_small_tails_are_exact_in_proportion() -> None:
    assert at_least(400, 420) == pytest.approx(exact(20, 420, Fraction(1, 2)), rel=1e-9)
    assert exact(20, 420, Fraction(1, 2)) < 1e-90


@pytest.mark.parametrize("total", [MANY, MANY + 1])
@pytest.mark.parametrize("deviations", [-4, 0, 4])
def test_both_methods_agree_where_one_follows_the_other(total: int, deviations: int) -> None:
    found = round(total / 2 + deviations * total**0.5 / 2)
    assert at_most(found, total) == pytest.approx(exact(found, total, Fraction(1, 2)), rel=0.01)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_certain_and_impossible_kinds(share: float) -> None:
    assert at_most(3, 10, share) == (1.0 if share == 0 else 0.0)
    assert at_least(3, 10, share) == (0.0 if share == 0 else 1.0)
    assert at_least(11, 10, share) == at_most(-1, 10, share) == 0.0
    assert at_least(0, 10, share) == at_most(10, 10, share) == 1.0
