# SPDX-License-Identifier: Apache-2.0
"""How many owners were left within a recording, and what they occupy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verdict.kept import Kept
from tests.verdict.loads.messages import Messages
from tests.verdict.scenario import Scenario
from tests.verdict.truth import owners_within, truth

# Steps of 1 s, that leave 1, 2, 4, 8 owners.
LEFT = [(0, 10, 1), (20, 30, 2), (40, 50, 4), (60, 70, 8)]


@pytest.mark.parametrize(
    ("begin", "end", "owners"),
    [
        (0, 70, (15, 15)),
        (15, 55, (6, 6)),
        (25, 55, (4, 6)),  # one step had begun before
        (15, 45, (2, 6)),  # one had not ended
        (11, 19, (0, 0)),
        (42, 48, (0, 4)),
    ],
)
def test_owners_within(begin: int, end: int, owners: tuple[int, int]) -> None:
    assert owners_within(LEFT, begin, end) == owners


def kept() -> Kept:
    sizes = {"filp": 192, "anon_vma_chain": 64, "dentry": 200}
    shown = {"filp": "filp", "eventpoll_pwq": "anon_vma_chain", "dentry": "dentry"}
    return Kept("x", "x.slab", 40.0, "6.18", [7, 8], LEFT, sizes, shown)


def test_sizes_are_those_of_the_kernel_by_the_name_it_shows() -> None:
    scenario = Scenario("x", Messages, "leak", "eventpoll_pwq", {"filp": 2, "eventpoll_pwq": 1})
    found = truth(scenario, kept(), 0, 4_000_000_000)
    assert found.bytes_each == ((448.0, 448.0),)
    assert (found.owner, found.seconds, found.pids) == ("anon_vma_chain", 4.0, {7, 8})


def test_a_range_where_something_may_be_counted_and_each_owner_of_two() -> None:
    scenario = Scenario("x", Messages, "leak", "filp", {"filp": 1}, {"dentry": 0.5}, {"eventpoll_pwq": 1})
    assert truth(scenario, kept(), 0, 1).bytes_each == ((192.0, 292.0), (64.0, 164.0), (256.0, 356.0))
    assert truth(scenario, kept(), 0, 1).beside == {"anon_vma_chain"}


def test_what_is_kept_of_a_run_is_read_back(tmp_path: Path) -> None:
    kept().save(tmp_path / "x.json")
    assert Kept.load(tmp_path / "x.json") == kept()
