# SPDX-License-Identifier: Apache-2.0
"""Places that no longer free: what is called stopped, and that chance alone is hardly ever."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.analysis.freeing.stopped import Siblings, old_enough, stopped

PARTS = 60


def series(*stretches: tuple[int, int]) -> np.ndarray:
    """Numbers by part: (how many parts, objects in each)."""
    return np.concatenate([np.full(parts, objects) for parts, objects in stretches])


def said(mine: np.ndarray, every: np.ndarray, **more: int) -> bool:
    siblings = Siblings(every, np.zeros_like(every), more.get("unsure", 0))
    return stopped(mine, siblings, more.get("old_enough", PARTS), more.get("tests", 1))


def test_the_example() -> None:
    assert said(series((30, 7), (30, 0)), series((60, 10)))


@pytest.mark.parametrize(
    ("mine", "every", "more"),
    [
        (series((60, 1)), series((60, 10)), {}),  # it goes on
        (series((30, 7), (30, 0)), series((30, 10), (30, 0)), {}),  # no siblings come either
        (series((30, 7), (30, 0)), series((30, 10), (3, 100), (27, 0)), {}),  # they came in one burst
        (series((5, 100), (55, 0)), series((60, 100)), {}),  # so did those that it freed
        (series((57, 7), (3, 0)), series((60, 10)), {}),  # not long enough ago
        (series((30, 7), (30, 0)), series((60, 10)), {"old_enough": 33}),  # the later ones are too young
        (series((30, 7), (30, 0)), series((60, 10)), {"unsure": 290}),  # they may have been freed unseen
        (series((30, 7), (30, 0)), series((60, 10)), {"tests": 10**7}),
        (series((15, 7), (15, 0), (15, 7), (15, 0)), series((60, 10)), {}),  # it paused before
        (series((60, 0)), series((60, 10)), {}),
    ],
)
def test_what_is_not_called_stopped(mine: np.ndarray, every: np.ndarray, more: dict[str, int]) -> None:
    assert not said(mine, every, **more)


def test_missed_frees_may_have_been_there() -> None:
    """Those of objects that came before do not matter."""
    mine, every = series((30, 7), (30, 0)), series((60, 10))
    assert stopped(mine, Siblings(every, series((30, 10), (30, 0))), PARTS, 1)
    assert not stopped(mine, Siblings(every, series((30, 0), (30, 10))), PARTS, 1)


def test_objects_that_are_too_young_to_have_been_freed() -> None:
    assert old_enough(10, 1, 60) == 40
    assert old_enough(31, 1, 60) == 0
    assert old_enough(0, 7, 60) == 8


@pytest.mark.parametrize("rate", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_chance_alone_stops_nothing(rate: float, share: float) -> None:
    """A place that frees a constant share, 500 times."""
    random = np.random.default_rng(7)
    every = random.poisson(rate, (500, PARTS))
    mine = random.binomial(every, share)
    assert not any(said(*each) for each in zip(mine, every, strict=True))


def test_nor_do_bursts() -> None:
    """Tasks that come at random, of which each frees 40 objects at one of two places."""
    random = np.random.default_rng(8)
    for _ in range(300):
        tasks = random.poisson(0.5, (2, PARTS)) * 40
        assert not said(tasks[0], tasks.sum(axis=0))
