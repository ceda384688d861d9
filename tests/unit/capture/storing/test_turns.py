# SPDX-License-Identifier: Apache-2.0
"""Every cache gets its turn, however short the time: small ones first, and a part of each big one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.capture.storing import turns
from slabtrace.capture.storing.turns import in_turns, spread


class Clock:
    """time.monotonic, moved by work."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(turns, "time", clock)
    return clock


class Slabs:
    """`count` slabs, each of which takes a second."""

    def __init__(self, clock: Clock, name: str, count: int) -> None:
        self.clock, self.name, self.count = clock, name, count

    def __len__(self) -> int:
        return self.count

    def read(self, until: float) -> Iterator[str]:
        while self.count and self.clock.now < until:
            self.count -= 1
            self.clock.now += 1
            yield self.name


def test_small_ones_are_read_wholly_and_big_ones_share_what_is_left(clock: Clock) -> None:
    work = [Slabs(clock, name, count) for name, count in [("a", 5000), ("b", 3), ("c", 2000), ("d", 7)]]
    read = list(in_turns(work, clock.now + 410))
    assert Counter(read) == {"b": 3, "d": 7, "c": 200, "a": 200}
    assert read[:10] == ["b"] * 3 + ["d"] * 7


def test_time_that_others_do_not_need_goes_to_those_cut_short(clock: Clock) -> None:
    work = [Slabs(clock, "a", 60), Slabs(clock, "b", 61), Slabs(clock, "c", 62)]
    assert Counter(in_turns(work, clock.now + 183)) == {"a": 60, "b": 61, "c": 62}


class Finished(Slabs):
    """Its slabs vanish when they are read: they take no time and give nothing."""

    def read(self, until: float) -> Iterator[str]:
        self.count = 0
        yield from ()


def test_a_cache_cut_short_is_read_on_when_larger_ones_took_no_time(clock: Clock) -> None:
    work = [Slabs(clock, "a", 90), Finished(clock, "b", 91), Finished(clock, "c", 92)]
    assert Counter(in_turns(work, clock.now + 100)) == {"a": 90}


def test_without_time_nothing_is_read(clock: Clock) -> None:
    assert list(in_turns([Slabs(clock, "a", 5)], clock.now)) == []


@given(st.integers(0, 3000))
def test_spread_names_each_number_once(count: int) -> None:
    assert sorted(spread(count).tolist()) == list(range(count))


@given(st.integers(2, 3000), st.data())
def test_each_beginning_is_spread_over_all(count: int, data: st.DataObject) -> None:
    """No gap between numbers of the beginning is more than three times what it would be at best."""
    chosen = data.draw(st.integers(2, count))
    begin = np.sort(spread(count)[:chosen])
    gaps = np.diff(np.concatenate([[-1], begin, [count]]))
    assert gaps.max() <= 3 * -(-count // chosen)
