# SPDX-License-Identifier: Apache-2.0
"""Numbers are formatted as people write them, also at the limits between units, and parsed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace import units

YEAR = 365 * 86_400 * 10**9


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (-1536, "-1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),  # never "1024.0 KiB"
        (5 * 1024**3, "5.0 GiB"),
        (2048 * 1024**4, "2048.0 TiB"),
        (None, "-"),
        (math.nan, "-"),
    ],
)
def test_size(number: float | None, words: str) -> None:
    assert units.size(number) == words


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 us"),
        (999_999, "1 ms"),
        (35_000_000, "35 ms"),
        (2_310_000_000, "2.31 s"),
        (59_990_000_000, "1 min 00 s"),
        (200 * 10**9, "3 min 20 s"),
        (11_400 * 10**9, "3 h 10 min"),
        (187_200 * 10**9, "2 d 4 h"),
        (-2_000, "-2 us"),
        (None, "-"),
        (math.nan, "-"),
    ],
)
def test_duration(ns: float | None, words: str) -> None:
    assert units.duration(ns) == words


@pytest.mark.parametrize(
    ("per_second", "words"), [(0, "0/s"), (12.34, "12.3/s"), (3_400, "3.4 k/s"), (4_120_000, "4.1 M/s")]
)
def test_rate(per_second: float, words: str) -> None:
    assert units.rate(per_second) == words


def test_count_percent_plural() -> None:
    assert units.count(10_007) == "10,007"
    assert units.count(None) == units.percent(math.nan) == "-"
    assert units.percent(0.125) == "12.5%"
    assert [units.plural(n, "object") for n in (0, 1, 10_007)] == ["0 objects", "1 object", "10,007 objects"]
    assert units.plural(2, "process") == "2 processes"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("500ms", 500 * 10**6),
        ("30s", 30 * 10**9),
        ("+1.5s", 1_500_000_000),
        ("0.29s", 290_000_000),
        ("350 ns", 350),
        ("7us", 7_000),
        ("2m", 120 * 10**9),
        ("5min", 300 * 10**9),
        ("1.5h", 5_400 * 10**9),
        ("2d", 172_800 * 10**9),
        (" 2 min 05 s ", 125 * 10**9),
    ],
)
def test_durations_are_parsed(text: str, ns: int) -> None:
    assert units.parse_duration(text) == units.parse_duration(text, bare="s") == ns


def test_a_number_without_unit_is_a_duration_only_if_a_unit_is_given() -> None:
    assert units.parse_duration("10", bare="s") == 10 * 10**9
    with pytest.raises(ValueError, match=r"write 30s, 5min, 1\.5h"):
        units.parse_duration("10")


@pytest.mark.parametrize(
    "text", ["", "s", "soon", "-1s", "1 year", "1h30m", "1S", "1..5s", "\u0663s", "9" * 19 + "s"]
)
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 30s, 5min, 1\.5h"):
        units.parse_duration(text, bare="s")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("512", 512),
        ("512 B", 512),
        ("1.5", 1.5),
        ("20k", 20 << 10),
        ("20KiB", 20 << 10),
        ("1M", 1 << 20),
        ("64 mib", 64 << 20),
        ("2GiB", 2 << 30),
        ("1T", 1 << 40),
    ],
)
def test_sizes_are_parsed(text: str, number: float) -> None:
    assert units.parse_size(text) == number


@pytest.mark.parametrize("text", ["", "MiB", "2GB", "1XB", "-1", "1MiB/s", "1 2"])
def test_invalid_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="write 64MiB"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("1MiB/min", (1 << 20) / 60),
        ("1M/m", (1 << 20) / 60),
        ("20 KiB / s", 20480),
        ("3600B/h", 1),
        ("6/s", 6),
    ],
)
def test_growths_are_parsed(text: str, bytes_per_s: float) -> None:
    assert units.parse_growth(text) == pytest.approx(bytes_per_s)


@pytest.mark.parametrize("text", ["", "fast", "1MiB", "1XB/s", "1/day", "-3/s", "1/s/s"])
def test_invalid_growths(text: str) -> None:
    with pytest.raises(ValueError, match="write 1MiB/min"):
        units.parse_growth(text)


@given(st.integers(0, 100 * YEAR))
def test_a_printed_duration_can_be_parsed(ns: int) -> None:
    read = units.parse_duration(units.duration(ns))
    below = (
        0.0051 * ns
        if ns < 60 * 10**9
        else 0.5e9
        if ns < 3600 * 10**9
        else 60e9
        if ns < 86_400 * 10**9
        else 3600e9
    )
    assert abs(read - ns) <= below


@given(st.floats(0, 2.0**60))
def test_a_printed_size_can_be_parsed(number: float) -> None:
    read = units.parse_size(units.size(number))
    assert abs(read - number) <= (0.5 if number < 1023 else 0.0501 * 1024 ** units.byte_unit(number)[0])


@given(st.floats(0, 2.0**50))
def test_a_printed_growth_can_be_parsed(bytes_per_s: float) -> None:
    read = units.parse_growth(units.growth(bytes_per_s))
    assert read == pytest.approx(bytes_per_s, rel=0.06, abs=0.5 / 60)


@pytest.mark.parametrize(
    ("bytes_per_s", "text"),
    [
        (256, "15.0 KiB/min"), (1, "60 B/min"), (64 / 3600, "64 B/h"), (64 / 86_400, "64 B/d"),
        (1e-9, "0 B/d"), (-64 / 3600, "-64 B/h"), (0.0, "0 B/min"), (float("nan"), "-"),
    ],
)  # fmt: skip
def test_a_slow_growth_is_told_by_the_hour_or_day(bytes_per_s: float, text: str) -> None:
    assert units.growth(bytes_per_s) == text


def test_a_growth_and_its_interval_have_one_unit() -> None:
    assert units.growth_range(64 / 3600, -1, 90 / 3600) == "64 B/h (0 B to 90 B)"
