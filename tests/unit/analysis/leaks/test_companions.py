# SPDX-License-Identifier: Apache-2.0
"""An object that belongs to a reclaimable one is allocated with it; others of the task are not."""

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


def test_each_object_belongs_to_the_nearest() -> None:
    objects = live((1000, 7), (1010, 7), (900_000, 7), (900_020, 7))
    assert found(objects, 0, 3) == [-1, 0, 3, -1]


def test_one_inode_does_not_explain_many_messages() -> None:
    """All 23 are nearest to the same inode, so the judgement can see that it explains only one."""
    objects = live((1000, 7), *((1100 + 100 * i, 7) for i in range(23)))
    assert set(found(objects, 0)[1:]) == {0}


def test_objects_of_another_task_or_time_do_not_belong_together() -> None:
    objects = live((1000, 7), (1000, 8), (1000 + TOGETHER_NS, 7))
    assert found(objects, 0) == [-1, -1, -1]
