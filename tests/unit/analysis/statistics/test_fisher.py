# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import combinations
from math import comb

import pytest

from slabtrace.analysis.statistics import fisher


def ways(drawn: int, marked: int, total: int) -> list[int]:
    """The number of hits in each way to draw; things 0 to marked - 1 are marked."""
    return [sum(thing < marked for thing in each) for each in combinations(range(total), drawn)]


@pytest.mark.parametrize(
    ("hits", "drawn", "marked", "total"), [(3, 3, 4, 10), (1, 3, 4, 10), (2, 5, 6, 9), (0, 2, 3, 8)]
)
def test_probabilities_are_shares_of_all_ways_to_draw(hits: int, drawn: int, marked: int, total: int) -> None:
    all_ways = ways(drawn, marked, total)
    more = sum(each >= hits for each in all_ways) / len(all_ways)
    assert fisher.more_hits(hits, drawn, marked, total) == pytest.approx(more)
    count = {each: all_ways.count(each) for each in set(all_ways)}
    unlikely = sum(number for number in count.values() if number <= count.get(hits, 0))
    assert fisher.as_unlikely(hits, drawn, marked, total) == pytest.approx(unlikely / len(all_ways))


def test_the_lady_tasting_tea() -> None:
    """Fisher's own example: 8 cups, 4 with milk first, she names all 4: one way of 70."""
    assert fisher.more_hits(4, 4, 4, 8) == pytest.approx(1 / 70)
    assert fisher.more_hits(3, 4, 4, 8) == pytest.approx(17 / 70)
    assert fisher.least_p(4, 4, 8) == pytest.approx(1 / 70)


def test_large_numbers_agree_with_whole_ones() -> None:
    exact = comb(250, 30) / comb(1000, 30)
    assert fisher.more_hits(30, 30, 250, 1000) == pytest.approx(exact, rel=1e-9)
    assert fisher.more_hits(0, 30, 250, 1000) == 1.0
    assert fisher.least_p(3, 10, 100) == pytest.approx(comb(10, 3) / comb(100, 3))


def test_strata_are_added_exactly() -> None:
    """Two strata of 4 things each, 2 marked and 2 drawn in each: all 4 hits are 1 of 36 ways, 3 or more 9."""
    one, hit = (2, 2, 2, 4), (1, 2, 2, 4)
    assert fisher.more_hits_in_strata([one, one]) == pytest.approx(1 / 36)
    assert fisher.more_hits_in_strata([one, hit]) == pytest.approx(9 / 36)
    assert fisher.more_hits_in_strata([(3, 3, 4, 10)]) == pytest.approx(fisher.more_hits(3, 3, 4, 10))


def test_an_odds_ratio_and_its_interval() -> None:
    """(10.5 · 80.5) / (5.5 · 5.5) with the halves; Woolf's interval by hand."""
    odds = fisher.odds_ratio(10, 15, 15, 100)
    assert odds.ratio == pytest.approx(10.5 * 80.5 / 5.5**2)
    assert odds.low < odds.ratio < odds.high
    assert odds.low * odds.high == pytest.approx(odds.ratio**2)
