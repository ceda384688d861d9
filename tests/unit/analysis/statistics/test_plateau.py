# SPDX-License-Identifier: Apache-2.0
"""Whether some objects are never freed: the example, and how often the test is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.analysis.statistics.plateau import Beyond

HORIZON = 1 / 16
CASES = 400


def seen(rng: np.random.Generator, number: int, rate: float, kept: float = 0.0) -> Beyond:
    """Objects that come at random times until 1 - HORIZON, and beyond HORIZON die at `rate`; some never."""
    watched = rng.random(number) * (1 - HORIZON)  # how long each is watched beyond the horizon
    lives = rng.exponential(1 / rate, number) if rate else np.full(number, np.inf)
    lives[rng.random(number) < kept] = np.inf
    died = lives < watched
    return Beyond(int(died.sum()), float(lives[died].sum()), watched[~died])


def rejected(number: int, rate: float, least_rate: float, level: float, kept: float = 0.0) -> float:
    rng = np.random.default_rng(round(1000 * rate) + number)
    cases = (seen(rng, number, rate, kept).p_all_die(least_rate) <= level for _ in range(CASES))
    return float(np.mean(list(cases)))


def test_the_example() -> None:
    p = Beyond(0, 0.0, np.full(22, 0.5)).p_all_die(2.0)
    assert f"{p:.0e}" == "3e-11"


@pytest.mark.parametrize("rate", [2.0, 4.0, 16.0])
@pytest.mark.parametrize("number", [20, 100, 1000])
def test_where_all_die_few_cases_are_called_a_plateau(number: int, rate: float) -> None:
    """At 5 %: 20 of 400 are expected at most, more than 36 have the probability 0.0003."""
    assert rejected(number, rate, 2.0, 0.05) <= 36 / CASES


@pytest.mark.parametrize("number", [60, 300])
def test_a_leak_is_a_plateau(number: int) -> None:
    assert rejected(number, 0.0, 2.0, 1e-4) > 0.99


def test_a_leak_among_objects_that_die_is_a_plateau() -> None:
    assert rejected(1000, 16.0, 2.0, 0.01, kept=0.2) > 0.99


def test_slow_deaths_are_not_taken_for_none() -> None:
    """60 that die within two recordings on average are not sure to stay."""
    assert rejected(60, 0.5, 0.5, 0.05) < 0.1


def test_nothing_that_lives_is_no_plateau() -> None:
    assert Beyond(40, 3.0, np.empty(0)).p_all_die(2.0) == 1.0


def test_objects_at_the_horizon_say_nothing() -> None:
    assert Beyond(0, 0.0, np.zeros(30)).p_all_die(2.0) == pytest.approx(1.0, abs=1e-4)


def test_more_objects_that_stay_make_it_surer() -> None:
    found = [Beyond(0, 0.0, np.linspace(0, 0.9, number)).p_all_die(2.0) for number in (5, 10, 20, 40)]
    assert found == sorted(found, reverse=True) and found[-1] < 1e-8
