# SPDX-License-Identifier: Apache-2.0
"""When a measured trigger fires: growth that goes on, not a step; once, and again after a while."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from slabtrace.watching.conditions import MOST_SAMPLES, Condition
from slabtrace.watching.triggers import parse_trigger

MIB = 1 << 20
HOUR = 3600


def fired(text: str, value: Callable[[float], float], seconds: int, step: int = 10) -> list[int]:
    """When it fires."""
    condition = Condition(parse_trigger(text))
    return [at for at in range(0, seconds, step) if condition.take(at, value(at))]


def leak(per_hour: float) -> Callable[[float], float]:
    return lambda at: 1e9 + per_hour * at / HOUR


def test_growth_above_the_limit_fires_once_and_not_before_its_time() -> None:
    assert fired("growth > 10MiB/h for 10min", leak(11 * MIB), 12 * HOUR) == [600]


def test_growth_below_the_limit_never_fires() -> None:
    assert fired("growth > 10MiB/h for 10min", leak(9 * MIB), 12 * HOUR) == []


@pytest.mark.parametrize("at", [0, 100, 450, 900, 3000])
def test_a_step_is_no_growth(at: int) -> None:
    assert fired("growth > 10MiB/h for 10min", lambda t: 1e9 + (t > at) * 500 * MIB, 4 * HOUR) == []


def test_growth_beneath_noise_fires() -> None:
    noise = random.Random(1)
    grown = leak(30 * MIB)
    times = fired("growth > 10MiB/h for 1h", lambda t: grown(t) + noise.uniform(-1, 1) * MIB, 12 * HOUR)
    assert len(times) == 1 and times[0] < 2 * HOUR


def test_noise_alone_never_fires() -> None:
    for seed in range(4):
        noise = random.Random(seed)
        assert fired("growth > 10MiB/h for 1h", lambda _: 1e9 + noise.uniform(-2, 2) * MIB, 12 * HOUR) == []  # noqa: B023


def test_growth_that_stops_and_comes_again_fires_again() -> None:
    def value(at: float) -> float:
        return leak(20 * MIB)(at if at < 2 * HOUR else max(2 * HOUR, at - 2 * HOUR))

    times = fired("growth > 10MiB/h for 10min", value, 6 * HOUR)
    assert len(times) == 2 and 4 * HOUR < times[1] < 4 * HOUR + 700


def test_a_size_has_to_last() -> None:
    def value(at: float) -> float:
        return 5e9 if at < 50 or at >= 1000 else 1e9

    assert fired("SUnreclaim > 2GiB for 1min", value, 2 * HOUR) == [1060]
    assert fired("SUnreclaim > 2GiB", value, 2 * HOUR) == [0, 1000]


def test_a_size_that_swings_around_its_limit_fires_once() -> None:
    assert fired("SUnreclaim > 2GiB", lambda at: (1 + at // 10 % 2) * 1.5e9, 24 * HOUR) == [10]


def test_what_was_before_a_gap_does_not_count() -> None:
    condition = Condition(parse_trigger("growth > 10MiB/h for 10min"))
    grown = leak(100 * MIB)
    assert not any(condition.take(at, grown(at)) for at in range(0, 600, 10))
    slept = 8 * HOUR
    assert not any(condition.take(slept + at, grown(slept + at)) for at in range(0, 600, 10))
    assert condition.take(slept + 600, grown(slept + 600))


def test_its_memory_is_bounded() -> None:
    condition = Condition(parse_trigger("growth > 10MiB/h for 1d"))
    for at in range(0, 2 * 24 * HOUR, 30):
        condition.take(at, leak(MIB)(at))
    assert len(condition._samples) <= MOST_SAMPLES
