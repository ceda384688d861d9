# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

import pytest

from slabtrace.analysis.statistics import mann_whitney


def by_all_ways(first: Sequence[int], second: Sequence[int]) -> float:
    """The share of divisions whose first part wins at least as many pairs; a tie is half a win."""
    values = [*first, *second]

    def wins(chosen: tuple[int, ...]) -> float:
        others = [values[at] for at in range(len(values)) if at not in chosen]
        return sum((values[at] > each) + (values[at] == each) / 2 for at in chosen for each in others)

    seen = wins(tuple(range(len(first))))
    found = [wins(each) >= seen for each in combinations(range(len(values)), len(first))]
    return sum(found) / len(found)


@pytest.mark.parametrize(
    ("first", "second"),
    [([5, 7, 9], [1, 2]), ([1, 2], [5, 7, 9]), ([3, 3, 4], [3, 1, 4, 4]), ([0, 0], [0, 0, 0]), ([6], [5])],
)
def test_few_values_are_counted(first: list[int], second: list[int]) -> None:
    assert mann_whitney.larger(first, second) == pytest.approx(by_all_ways(first, second))


def test_known_answers() -> None:
    assert mann_whitney.larger([5, 7, 9], [1, 2]) == pytest.approx(1 / 10)
    assert mann_whitney.least_p(3, 2) == pytest.approx(1 / 10)
    assert mann_whitney.larger([], [1]) == mann_whitney.larger([1], []) == 1.0


def test_many_values_agree_with_counting_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    first, second = [rng.randrange(55) for _ in range(15)], [rng.randrange(50) for _ in range(25)]
    counted = mann_whitney.larger(first, second)
    monkeypatch.setattr(mann_whitney, "MOST_COUNTED", 0)
    assert mann_whitney.larger(first, second) == pytest.approx(counted, abs=0.005)


def test_equal_values_say_nothing() -> None:
    assert mann_whitney.larger([7] * 40, [7] * 40) == 1.0
