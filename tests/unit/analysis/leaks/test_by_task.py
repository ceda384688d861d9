# SPDX-License-Identifier: Apache-2.0
"""Findings of what each task frees itself are divided by task."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.leaks.by_task import ANY, divided, personal
from slabtrace.analysis.leaks.owners import Owned

S = 1_000_000_000
OF_TASKS = np.array([True])


def parts(owners: dict[int, int], of_tasks: np.ndarray = OF_TASKS, hangs: int = 0) -> list[tuple[int, int]]:
    """(task, objects) of the findings that one makes, of which each task has so many owners."""
    tid = np.repeat(list(owners), list(owners.values())).astype(np.uint32)
    tid = np.concatenate([tid, np.full(hangs, 7, np.uint32)])
    is_owner = np.arange(len(tid)) < len(tid) - hangs
    one = Owned(np.zeros(len(tid), np.intp), np.zeros(1, np.intp), np.zeros(1, np.bool_))
    found, task = divided(one, tid, is_owner, of_tasks)
    assert len(found.owner) == len(found.freeable) == len(task)
    return sorted(zip(task.tolist(), np.bincount(found.finding).tolist(), strict=True))


def test_a_task_with_many_has_a_finding_of_its_own_the_others_share_one() -> None:
    assert parts({7: 60, 8: 8, 9: 7, 10: 3}) == [(ANY, 10), (7, 60), (8, 8)]


def test_what_hangs_on_owners_goes_with_them_and_does_not_count() -> None:
    assert parts({7: 7, 8: 9}, hangs=20) == [(ANY, 27), (8, 9)]
    assert parts({7: 8}, hangs=20) == [(7, 28)]


def test_what_others_free_is_not_divided() -> None:
    assert parts({7: 60, 8: 60}, of_tasks=np.array([False])) == [(ANY, 120)]


@pytest.mark.parametrize(
    ("died", "own", "expected"), [(8, 8, True), (7, 7, False), (100, 90, True), (100, 89, False)]
)
def test_that_tasks_free_their_own_must_have_been_seen(died: int, own: int, expected: bool) -> None:
    ages = Ages(1, 0, 64 * S)
    ages.died[0, 0], ages.own_freed[0] = died, own
    assert personal(ages, np.zeros(1, np.intp), 1).tolist() == [expected]


def test_a_recording_too_short_to_have_old_objects() -> None:
    assert personal(Ages(1, 0, S), np.zeros(1, np.intp), 1).tolist() == [False]
