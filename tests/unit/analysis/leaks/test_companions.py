# SPDX-License-Identifier: Apache-2.0
"""An object that hangs on a reclaimable one came with it; others of the same task and time did not."""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.leaks.companions import TOGETHER_NS, companions
from slabtrace.trace.format.batch import EventBatch


def live(*events: tuple[int, int]) -> EventBatch:
    """Objects by (time, task), at ascending addresses."""
    ts_ns, tid = np.array(events, np.int64).T
    ptr, none = np.arange(len(events), dtype=np.uint64), np.zeros(len(events), np.uint32)
    return EventBatch(ts_ns, ptr, none, tid.astype(np.uint32), none.astype(np.uint16))


def found(objects: EventBatch, *inodes: int) -> list[int]:
    reclaimable = np.isin(np.arange(objects.size), inodes)
    return [int(each) for each in companions(objects, reclaimable)]


def test_each_came_with_the_nearest() -> None:
    objects = live((1000, 7), (1010, 7), (900_000, 7), (900_020, 7))
    assert found(objects, 0, 3) == [-1, 0, 3, -1]


def test_of_many_messages_one_inode_is_nobodys_twenty_times() -> None:
    """All 23 came with the same one: who judges can tell."""
    objects = live((1000, 7), *((1100 + 100 * i, 7) for i in range(23)))
    assert set(found(objects, 0)[1:]) == {0}


def test_another_task_or_moment_is_no_company() -> None:
    objects = live((1000, 7), (1000, 8), (1000 + TOGETHER_NS, 7))
    assert found(objects, 0) == [-1, -1, -1]
