# SPDX-License-Identifier: Apache-2.0
"""How many owners a load left behind within a recording, and what they occupy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.verdict.kept import Kept, Step
from tests.verdict.scenario import Scenario


class Truth(NamedTuple):
    """Of one recording.

    `least` to `most` owners: those of a step during which it began or ended may count or not.  `bytes_each`:
    (least, most) of an owner with all that hangs on it; where there is a second owner, of each and of both.
    `owner`: its cache, `beside`: those of the second owner, by the names that the kernel shows.
    """

    least: int
    most: int
    seconds: float
    bytes_each: tuple[tuple[float, float], ...]
    owner: str
    pids: frozenset[int]
    beside: frozenset[str] = frozenset()


def truth(scenario: Scenario, kept: Kept, begin_ns: int, end_ns: int) -> Truth:
    """The truth of what came from `begin_ns` to `end_ns`, CLOCK_MONOTONIC."""
    least, most = owners_within(kept.left, begin_ns, end_ns)
    first, second, perhaps = (
        _bytes(table, kept) for table in (scenario.each, scenario.beside, scenario.perhaps)
    )
    wholes = (first, second, first + second) if second else (first,)
    bytes_each = tuple((whole, whole + perhaps) for whole in wholes)
    owner, *beside = (kept.shown.get(each, each) for each in (scenario.owner, *scenario.beside))
    seconds, pids = (end_ns - begin_ns) / 1e9, frozenset(kept.pids)
    return Truth(least, most, seconds, bytes_each, owner, pids, frozenset(beside))


def owners_within(left: Iterable[Step], begin_ns: int, end_ns: int) -> tuple[int, int]:
    """The owners of the steps that lie within, and of those that lie there in part as well."""
    least = sum(owners for begin, end, owners in left if begin_ns <= begin and end <= end_ns)
    most = sum(owners for begin, end, owners in left if begin_ns <= end and begin <= end_ns)
    return least, most


def _bytes(each: Mapping[str, float], kept: Kept) -> float:
    return sum(count * kept.sizes[kept.shown.get(cache, cache)] for cache, count in each.items())
