# SPDX-License-Identifier: Apache-2.0
"""Objects that hang on a reclaimable one: an inode's security blob, the target of a symbolic link.

They lie in caches that nothing shrinks, but go when their inode is given up.  They are told by
having come with it: in the same task, at the same moment, one with one.  The same holds of a leak
that happens whenever an inode is made, until that inode is freed and the leaked object stays: then
it has no living companion any more, and is suspected.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch

TOGETHER_NS = 200_000  # the most between the allocations of two objects that belong together
OTHER_TASK = np.int64(2**62)


def companions(live: EventBatch, reclaimable: NDArray[np.bool_]) -> Positions:
    """The living reclaimable object that each live object came with, as its position; -1: none.  Shape (n,).

    `reclaimable`: whether each is in a reclaimable cache itself, shape (n,); those are not asked.
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
    """Time between two objects, for ever if they are of different tasks."""
    return np.where(tid[one] == tid[other], np.abs(ts_ns[one] - ts_ns[other]), OTHER_TASK)
