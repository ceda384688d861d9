# SPDX-License-Identifier: Apache-2.0
"""Groups whose objects came one with one: an owner, such as a socket, and what hangs on it.

Live objects that one task allocated without a pause of TOGETHER_NS are of one act, such as a system call.  An
act that is a loop is cut where its largest object comes again.  Two groups belong together if nearly every
act with objects of one has objects of the other.  If all happened in very few acts, there must be as many
objects of both.

Example: a task opens sockets.  Each act has a sock_inode_cache, a TCP, a filp, a dentry and two kmalloc-16.
One finding: 41 owners (TCP, the largest), with 5 more objects on each.  The filp of other sockets that were
closed do not matter, since they are not live.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch

TOGETHER_NS = 200_000  # the longest pause within an act
SHARE = 0.9  # of the acts of both groups
FEW_ACTS = 3  # with fewer, the numbers must be equal too
MOST_PAIRS = 1 << 22  # meetings of two groups that are looked at


def findings_of(live: EventBatch, member: Positions, size: Counts) -> Positions:
    """The finding that each of g groups belongs to, shape (g,): numbered by their first groups.

    `member`: the group of each live object, shape (n,); `size`: of an object of each group (bytes), shape
    (g,).
    """
    act, member = _acts(live, member, size)
    pairs = _some_acts(np.unique(np.stack([act, member]), axis=1) if len(act) else np.empty((2, 0), np.intp))
    acts = np.bincount(pairs[1], minlength=len(size))
    objects = np.bincount(member, minlength=len(size))
    one, other, common = _together(pairs)
    linked = common >= SHARE * np.maximum(acts[one], acts[other])
    few = np.maximum(acts[one], acts[other]) < FEW_ACTS
    linked &= ~few | (objects[one] == objects[other])
    return _joined(len(size), one[linked], other[linked])


def _acts(live: EventBatch, member: Positions, size: Counts) -> tuple[Positions, Positions]:
    """(act, group) of each live object, ordered by task and time."""
    order = np.lexsort((live.ts_ns, live.tid))
    tid, ts_ns, member = live.tid[order], live.ts_ns[order], member[order]
    if not len(order):
        return order, member
    starts = np.concatenate([[True], (tid[1:] != tid[:-1]) | (np.diff(ts_ns) > TOGETHER_NS)])
    act = np.cumsum(starts) - 1
    return _cut_loops(act, member, size), member


def _cut_loops(act: Positions, member: Positions, size: Counts) -> Positions:
    """Acts cut where their largest object comes again (of several as large, the one of the first group)."""
    weight = size[member] * len(size) + (len(size) - 1 - member)
    largest = np.full(int(act[-1]) + 1, -1, np.int64)
    np.maximum.at(largest, act, weight)
    again = weight == largest[act]
    first = np.full(len(largest), -1, np.int64)
    places = np.flatnonzero(again)[::-1]
    first[act[places]] = places
    again[first] = False
    starts = np.concatenate([[True], act[1:] != act[:-1]]) | again
    cut: Positions = np.cumsum(starts) - 1
    return cut


def _some_acts(pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """(act, group), sorted; of so many that MOST_PAIRS groups would meet, every k-th act."""
    act = pairs[0]
    in_act = np.bincount(act)
    step = -(-int((in_act * (in_act - 1) // 2).sum()) // MOST_PAIRS)
    return pairs if step <= 1 else pairs[:, act % step == 0]


def _together(pairs: NDArray[np.intp]) -> tuple[Positions, Positions, Counts]:
    """(group, other group, acts that have both) for all groups that met; `pairs`: (act, group), sorted."""
    act, group = pairs
    in_act = np.bincount(act) if len(act) else np.empty(0, np.int64)
    begin = np.cumsum(in_act) - in_act
    found: list[NDArray[np.int64]] = []
    number = np.int64(int(group.max()) + 1 if len(group) else 1)
    for apart in range(1, int(in_act.max(initial=0))):
        longer = in_act > apart
        at = np.repeat(begin[longer], in_act[longer] - apart) + _counting(in_act[longer] - apart)
        found.append(group[at] * number + group[at + apart])
    keys, common = np.unique(np.concatenate(found or [np.empty(0, np.int64)]), return_counts=True)
    return (keys // number).astype(np.intp), (keys % number).astype(np.intp), common


def _counting(lengths: Counts) -> Positions:
    """0, 1, … for each of `lengths`, one after the other."""
    total = np.cumsum(lengths)
    counted: Positions = np.arange(int(total[-1]) if len(total) else 0) - np.repeat(total - lengths, lengths)
    return counted


def _joined(groups: int, one: Positions, other: Positions) -> Positions:
    """Groups that are linked, directly or through others, have the number of their first."""
    of = np.arange(groups)
    while True:
        least = of.copy()
        np.minimum.at(least, one, of[other])
        np.minimum.at(least, other, of[one])
        least = least[least]
        if (least == of).all():
            return of
        of = least
