# SPDX-License-Identifier: Apache-2.0
"""Objects that belong to a reclaimable one, such as the security blob of an inode or the target of a symlink.

Their caches are not reclaimable, but they are freed with their inode.  They are recognised by time: allocated
by the same task, within TOGETHER_NS, one with one.  A leak that happens with every new inode looks the same
at first.  Once the inode is freed and the leaked object stays, it has no live companion, and can be a
suspect.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch

TOGETHER_NS = 200_000  # the longest time between the allocations of two objects that belong together
OTHER_TASK = np.int64(2**62)  # as a time between two objects: never together


def companions(live: EventBatch, reclaimable: NDArray[np.bool_]) -> Positions:
    """The live reclaimable object that each object was allocated with, as a position; -1: none, shape (n,).

    `reclaimable`: whether the object's own cache is reclaimable, shape (n,); such an object has no companion.
    """
    order = np.lexsort((live.ts_ns, live.tid))
    tid, ts_ns, is_one = live.tid[order], live.ts_ns[order], reclaimable[order]
    place = np.arange(len(order))
    before = np.maximum.accumulate(np.where(is_one, place, -1))
    after = np.minimum.accumulate(np.where(is_one, place, len(order))[::-1])[::-1]
    nearest, least = np.full(len(order), -1, np.intp), np.full(len(order), TOGETHER_NS)
    for other in (before, after):
        known = np.flatnonzero((other >= 0) & (other < len(order)) & ~is_one)
        apart = _apart(tid, ts_ns, known, other[known])
        nearer = np.flatnonzero(apart < least[known])
        least[known[nearer]], nearest[known[nearer]] = apart[nearer], other[known[nearer]]
    found = np.full(len(order), -1, np.intp)
    found[order] = np.where(nearest >= 0, order[nearest], -1)
    return found


def _apart(
    tid: NDArray[np.uint32], ts_ns: NDArray[np.int64], one: Positions, other: Positions
) -> NDArray[np.int64]:
    """Time between two allocations; OTHER_TASK if they are of different tasks."""
    return np.where(tid[one] == tid[other], np.abs(ts_ns[one] - ts_ns[other]), OTHER_TASK)
