# SPDX-License-Identifier: Apache-2.0
"""Acts: live objects that one task allocated without a pause, as in one system call; and what meets in them.

What is a pause depends on those around it: a fork copies page tables for some hundred microseconds between
its task_struct and its pid, but the task forks again only 100 ms later.  So there are wide acts, too, which
end at pauses that are not short among much longer ones.  An act that is a loop is cut where its largest
object comes again.

Example: a task opens a socket.  Within 20 us it allocates a sock_inode_cache, a TCP, a filp, and a dentry.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch

TOGETHER_NS = 200_000  # the longest pause within an act
LONGEST_NS = 5_000_000  # within a wide act, if the pauses around are much longer
MUCH_LONGER = 20  # times
MOST_PAIRS = 1 << 22  # meetings of two groups that are looked at
MOST_GROUPS = 256  # of an act: one with more is of a task that never pauses
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio: its multiples mix the order of acts


def acts_of(
    live: EventBatch, member: Positions, order: Positions, size: Counts
) -> tuple[Positions, Positions]:
    """(act, wide act) of each live object, in `order`: by task and time; `member`: the group, so ordered."""
    if not len(order):
        return order, order
    tid, ts_ns = live.tid[order], live.ts_ns[order]
    pause = np.where(tid[1:] == tid[:-1], np.diff(ts_ns), np.iinfo(np.int64).max)
    starts = np.flatnonzero(pause > TOGETHER_NS)
    wide = starts[_ends_act(pause[starts])]
    each = (np.searchsorted(some + 1, np.arange(len(order)), side="right") for some in (starts, wide))
    act, wide_act = (_cut_loops(some, member, size) for some in each)
    return act, wide_act


def _ends_act(pause: Counts) -> NDArray[np.bool_]:
    """Which pauses (ns, of one task after the other) are no short ones among much longer ones.

    On each side counts the longer one of two, as an act may be in three parts.
    """
    endless = np.full(2, np.iinfo(np.int64).max)
    around = np.concatenate([endless, pause, endless])
    before = np.maximum(around[:-4], around[1:-3])
    after = np.maximum(around[4:], around[3:-1])
    short = (pause <= LONGEST_NS) & (np.minimum(before, after) // MUCH_LONGER >= pause)
    ends: NDArray[np.bool_] = ~short
    return ends


def some_acts(pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """(act, group), sorted, of acts with few groups; of so many as MOST_PAIRS allow, from the whole time.

    Which acts are taken follows no order: tasks often do two things by turns.
    """
    in_act = np.bincount(pairs[0])
    met = np.where(in_act <= MOST_GROUPS, in_act * (in_act - 1) // 2, 0)
    mixed = np.argsort(np.arange(len(in_act), dtype=np.uint64) * GOLDEN)
    taken = np.zeros(len(in_act), np.bool_)
    taken[mixed] = np.cumsum(met[mixed]) <= MOST_PAIRS
    taken &= in_act <= MOST_GROUPS
    return pairs[:, taken[pairs[0]]]


def together(pairs: NDArray[np.intp]) -> tuple[Positions, Positions, Counts]:
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


def _counting(lengths: Counts) -> Positions:
    """0, 1, … for each of `lengths`, one after the other."""
    total = np.cumsum(lengths)
    counted: Positions = np.arange(int(total[-1]) if len(total) else 0) - np.repeat(total - lengths, lengths)
    return counted
