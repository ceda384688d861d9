# SPDX-License-Identifier: Apache-2.0
"""Affected, clear, could not tell: each case once, with the answer that its recording allows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from slabtrace.fleet.merging import presence as module
from slabtrace.fleet.merging.hosts import hosts_of
from slabtrace.fleet.merging.merged import Row
from slabtrace.fleet.merging.presence import AFFECTED, CLEAR, Presence, issues_of, presence
from tests.unit.fleet import fleets

DAY = 64 * 1000  # bytes a day: 1,000 objects of 64 bytes
RNG = random.Random(1)


def trace(number: int, findings: Sequence[dict[str, Any]] = (), **facts: Any) -> Row:
    return fleets.row(fleets.facts_of(number, 0, RNG, **facts), list(findings))


def leak(**values: Any) -> dict[str, Any]:
    return fleets.finding(5, 0, RNG, **fleets.suspect(DAY, **values))


def present(*rows: Row) -> Presence:
    leaking = trace(0, [leak()])
    found = [leaking, *rows]
    return presence(issues_of(found)[0], hosts_of(found))


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, CLEAR),
        ({"least_per_day": 1000}, CLEAR),
        ({"least_per_day": 1001}, module.COARSE),
        ({"least_per_day": None}, module.SHORT),
        ({"partial": True}, module.FILTERED),
        ({"cache_globs": "dentry\nskb*"}, module.FILTERED),
        ({"cache_globs": "dentry\nkmalloc-*"}, CLEAR),
        ({"stacks": "none"}, module.NO_STACKS),
        ({"damage": "2 of 9 event segments are missing."}, module.DAMAGED),
        ({"damage": "The recording was not finished.", "status": "recording"}, CLEAR),
        ({"findings_left_out": 3}, module.CUT),
    ],
)
def test_without_a_finding_the_recording_says_what_it_could_have_found(
    facts: dict[str, Any], state: str
) -> None:
    assert present(trace(1, **facts)).states == [AFFECTED, state]


def test_what_grows_or_is_young_is_not_clear() -> None:
    growing = trace(1, [leak() | {"class": "growing"}])
    young = trace(2, [fleets.finding(5, 0, RNG, **{"class": "young"})])
    retained = trace(3, [fleets.finding(5, 0, RNG)])
    assert present(growing, young, retained).states == [AFFECTED, module.GROWING, module.YOUNG, CLEAR]


def part(number: int, findings: Sequence[dict[str, Any]] = (), **facts: Any) -> Row:
    begin = fleets.START_S + number * 3600
    times = {"begin_s": begin, "end_s": begin + 3600, "begin_ns": number * 3600 * 10**9}
    same = {"host": "series", "boot_id": "b", "end_ns": (number + 1) * 3600 * 10**9}
    return trace(100 + number, findings, **(times | same | facts))


def test_the_newest_part_that_can_tell_decides() -> None:
    found = present(part(0), part(1, [leak()]), part(2, least_per_day=None))
    assert found.states == [AFFECTED, AFFECTED]
    assert found.deciding[1][0].facts["begin_ns"] == 3600 * 10**9


def test_a_leak_that_is_gone_in_the_newest_part_went_away() -> None:
    found = present(part(0, [leak()]), part(1))
    assert (found.states, found.went_away) == ([AFFECTED, CLEAR], 1)


def test_an_older_boot_does_not_decide_but_is_remembered() -> None:
    before = part(0, [leak()])
    after = part(5, boot_id="c")
    found = present(before, after)
    assert (found.states, found.went_away) == ([AFFECTED, CLEAR], 1)
    short = present(before, part(5, boot_id="c", least_per_day=None))
    assert short.states == [AFFECTED, module.SHORT]


def test_two_stacks_of_one_issue_are_added() -> None:
    other = leak() | {"variant": "1:other"}
    found = present(trace(1, [leak(), other]))
    assert found.deciding[1][1].growth == 2 * DAY


def test_a_finding_without_names_says_nothing_of_other_hosts() -> None:
    found = presence(
        issues_of([trace(0, [leak(local=True)])])[0], hosts_of([trace(0, [leak(local=True)]), trace(1)])
    )
    assert found.states[1] == module.OTHER_HOST
