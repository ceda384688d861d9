# SPDX-License-Identifier: Apache-2.0
"""The scenarios: leaks and flat loads in about equal number, each with its truth and its half."""

from __future__ import annotations

import pytest

from tests.verdict.catalogue import ALL, ASIDE, NAMED
from tests.verdict.scenario import Scenario


def test_names_are_unique_and_leaks_and_flat_loads_balance() -> None:
    leaks = sum(each.truth == "leak" for each in ALL)
    assert len(NAMED) == len(ALL)
    assert abs(leaks - (len(ALL) - leaks)) <= len(ALL) // 10


def test_every_second_name_is_aside_and_both_halves_hold_both_kinds() -> None:
    names = sorted(NAMED)
    assert set(names[1::2]) == ASIDE
    for half in (ASIDE, set(names) - ASIDE):
        leaks = sum(NAMED[each].truth == "leak" for each in half)
        assert len(half) // 3 <= leaks <= len(half) * 2 // 3


@pytest.mark.parametrize("scenario", ALL, ids=lambda each: each.name)
def test_a_leak_says_what_an_owner_is_and_a_flat_load_has_none(scenario: Scenario) -> None:
    assert (scenario.owner in scenario.each) == bool(scenario.each) == (scenario.truth == "leak")
    assert scenario.truth == "leak" or not (scenario.owner or scenario.beside or scenario.perhaps)
    assert scenario.what.endswith(".") and scenario.load.rate > 0
