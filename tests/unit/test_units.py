# SPDX-License-Identifier: Apache-2.0
"""Numbers are worded as people read them, at the edges between units too."""

from __future__ import annotations

import math

import pytest

from slabtrace import units


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
