# SPDX-License-Identifier: Apache-2.0
"""Findings: live objects that came one with one, such as a socket and what hangs on it.

Live objects that one task allocated without a pause of TOGETHER_NS are of one act, such as a system
call.  An act that is a loop is cut where its largest object comes again.  Groups belong together if
nearly every act with objects of one has objects of the other.  If nearly every act of a group has objects
of a larger, common group, then just these objects belong to it: of all open files those of the sockets.
If all happened in very few acts, there must be as many objects of both.  Objects that the kernel can give
up (pairing/pins.py) are apart.

Example: a task opens sockets.  Each act has a sock_inode_cache, a TCP, a filp, a dentry and two kmalloc-16.
One finding: 41 owners (TCP, the largest), with 5 more objects on each.  Other filp are another finding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch

TOGETHER_NS = 200_000  # the longest pause within an act
SHARE = 0.9  # of the acts of a group
MOST_STEPS = 4  # from an object to the owner of what it hangs on, and so on
FEW_ACTS = 3  # with fewer, the numbers must be equal too
MOST_PAIRS = 1 << 22  # meetings of two groups that are looked at
MOST_GROUPS = 256  # of an act: one with more is of a task that never pauses
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio: its multiples mix the order of acts


class Owned(NamedTuple):
    """`finding`, shape (n,): of each live object.  `owner`, `freeable`, shape (f,): of each finding the group
    that owns the others, and whether the kernel can give its objects up.
    """

    finding: Positions
    owner: Positions
    freeable: NDArray[np.bool_]


def owned(
    live: EventBatch,
    member: Positions,
    size: Counts,
    pinned: NDArray[np.int8],
    alone: NDArray[np.bool_],
    several: NDArray[np.bool_],
) -> Owned:
    """The findings that n live objects of g groups make.

    `member`: the group of each object, shape (n,); `size`: of an object of each group (bytes), shape
    (g,); `pinned`, shape (n,): 1 pinned, 0 not, -1 not known; `alone`, shape (g,): groups that belong to
    no others and own none, such as what the slab allocator itself allocates now and then; `several`,
    shape (g,): groups whose objects have several stacks.
    """
    order = np.lexsort((live.ts_ns, live.tid))
    act, sorted_member = _acts(live, member[order], order, size)
    core, above = _linked(act, sorted_member, size, alone, several)
    of = _owner_of(act, sorted_member, core, above)
    freeable = _freeable(act, of, pinned[order])
    finding = np.empty(len(order), np.intp)
    keys, finding[order] = np.unique(of * 2 + freeable, return_inverse=True)
    owners = _owners(finding[order], sorted_member, act, core, keys // 2, size)
    return Owned(finding, owners, (keys % 2).astype(np.bool_))


def _linked(
    act: Positions, member: Positions, size: Counts, alone: NDArray[np.bool_], several: NDArray[np.bool_]
) -> tuple[Positions, dict[int, list[int]]]:
    """(the cluster of each group, named by its first; for each cluster the common groups that hang on it)."""
    pairs = _some_acts(np.unique(np.stack([act, member]), axis=1) if len(act) else np.empty((2, 0), np.intp))
    acts, objects = (np.bincount(each, minlength=len(size)) for each in (pairs[1], member))
    one, other, common = _together(pairs)
    least, most = np.minimum(acts[one], acts[other]), np.maximum(acts[one], acts[other])
    alike = (most >= FEW_ACTS) | (objects[one] == objects[other])
    alike &= ~alone[one] & ~alone[other]
    mutual = (common >= SHARE * most) & alike
    core = _joined(len(size), one[mutual], other[mutual])
    hangs = (common >= SHARE * least) & ~mutual & alike & (least >= FEW_ACTS) & (core[one] != core[other])
    fewer = np.where(acts[one] < acts[other], one, other)[hangs]
    return _hung(core, fewer, (one[hangs] + other[hangs]) - fewer, size, several)


def _hung(
    core: Positions, specific: Positions, general: Positions, size: Counts, several: NDArray[np.bool_]
) -> tuple[Positions, dict[int, list[int]]]:
    """Which of two groups hangs on the other, where all acts of the `specific` one have the `general` one.

    If the general one has several stacks, or is smaller, just those of its objects hang on the specific one.
    Otherwise the specific one is a detail of the general one, such as a larger array now and then.
    """
    weight = np.zeros(len(size), np.int64)
    np.maximum.at(weight, core, size)
    detail = ~several[general] & (weight[core[specific]] <= weight[core[general]])
    joined = _details_joined(core, specific[detail], general[detail])
    above: dict[int, list[int]] = {}
    for one, other in zip(specific[~detail].tolist(), general[~detail].tolist(), strict=True):
        above.setdefault(other, []).append(int(joined[one]))
    return joined, above


def _details_joined(core: Positions, detail: Positions, general: Positions) -> Positions:
    """The cluster of each group, where clusters with a `detail` belong to that of its `general` group.

    A detail of several is one of the last of them alone, so that those are not joined.
    """
    joined, known = core.copy(), set()
    for at in np.lexsort((general, detail))[::-1].tolist():
        cluster = int(core[detail[at]])
        if cluster not in known:
            known.add(cluster)
            joined[joined == joined[detail[at]]] = joined[general[at]]
    return joined


def _owner_of(act: Positions, member: Positions, core: Positions, above: dict[int, list[int]]) -> Positions:
    """The cluster that owns each object: its group's, or one of its act that its group hangs on."""
    of = core[member]
    number = np.int64(len(core) + 1)
    here = np.unique(act * number + of)
    for general, clusters in above.items():
        places = np.flatnonzero(member == general)
        free = np.ones(len(places), np.bool_)
        for cluster in clusters:
            key = act[places] * number + cluster
            at = np.minimum(np.searchsorted(here, key), len(here) - 1)
            hangs = free & (here[at] == key)
            of[places[hangs]] = cluster
            free &= ~hangs
    return _to_the_last(act * number, core[member], of)


def _to_the_last(act: Counts, cluster: Positions, of: Positions) -> Positions:
    """`of`, where what an object hangs on hangs on something else itself: that.

    `act`: of each object, times more than there are clusters; `cluster`: that of its group.
    """
    keys, first = np.unique(act + cluster, return_index=True)
    for _ in range(MOST_STEPS):
        at = np.minimum(np.searchsorted(keys, act + of), len(keys) - 1)
        further = np.where(keys[at] == act + of, of[first[at]], of)
        if (further == of).all():
            break
        of = further
    return of


def _freeable(act: Positions, of: Positions, pinned: NDArray[np.int8]) -> NDArray[np.intp]:
    """1 for objects in whose act a part of the same finding can be given up, and none is pinned; else 0."""
    key = act * (int(of.max(initial=0)) + 1) + of
    names, which = np.unique(key, return_inverse=True)
    loose, held = (np.bincount(which[pinned == state], minlength=len(names)) for state in (0, 1))
    found: NDArray[np.intp] = ((loose > 0) & (held == 0))[which].astype(np.intp)
    return found


def _owners(
    finding: Positions, member: Positions, act: Positions, core: Positions, cluster: Positions, size: Counts
) -> Positions:
    """The owner of each finding: of the groups of its cluster that have one object in each act the largest.

    If there is none such, it is the one with most bytes.  All but `size`, `core` and `cluster` by object.
    """
    number = np.int64(len(core) + 1)
    keys, objects = np.unique(finding * number + member, return_counts=True)
    acts = np.bincount(
        np.unique(act * np.int64(len(cluster)) + finding) % len(cluster), minlength=len(cluster)
    )
    of, group = keys // number, keys % number
    own = core[group] == cluster[of]
    of, group, objects = of[own], group[own], objects[own]
    single = (objects >= SHARE * acts[of]) & (objects <= acts[of] / SHARE)
    weight = np.where(single, size[group], objects * size[group])
    order = np.lexsort((-group, weight, single, of))
    last = np.searchsorted(of[order], np.arange(len(cluster)), side="right") - 1
    owners: Positions = group[order][last]
    return owners


def _acts(live: EventBatch, member: Positions, order: Positions, size: Counts) -> tuple[Positions, Positions]:
    """(act, group) of each live object, in `order`: by task and time."""
    if not len(order):
        return order, member
    tid, ts_ns = live.tid[order], live.ts_ns[order]
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
