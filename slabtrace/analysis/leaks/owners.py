# SPDX-License-Identifier: Apache-2.0
"""Findings: live objects that came one with one, such as a socket and what hangs on it.

Groups belong together if nearly every act (acts.py) with objects of one has objects of the other.  If nearly
every act of a group has objects of a larger, common group, then just these objects belong to it: of all
open files those of the sockets.  If all happened in very few acts, there must be as many objects of both.
Objects that the kernel can give up (pairing/pins.py) are apart.  Where most frees are not seen, more objects
seem alive than are: just those that came with others belong to these, and do not own them.

Example: a task opens sockets.  Each act has a sock_inode_cache, a TCP, a filp, a dentry and two kmalloc-16.
One finding: 41 owners (TCP, the largest), with 5 more objects on each.  Other filp are another finding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.leaks.acts import acts_of, some_acts, together
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch

SHARE = 0.9  # of the acts of a group
MUCH_LARGER = 2  # times as large as a dentry or inode: not a part of it
MOST_STEPS = 4  # from an object to the owner of what it hangs on, and so on
FEW_ACTS = 3  # with fewer, the numbers must be equal too
ENDS = ("one", "other")  # of a pair of groups


class Traits(NamedTuple):
    """What is known of g groups, arrays of shape (g,).

    `size`: of an object (bytes).  `alone`: belongs to no others and owns none, such as what the slab
    allocator itself allocates now and then.  `several`: its objects have several stacks.  `unseen`: most of
    its objects that were freed were so without being seen.  `thing`: it is known, and no part of a dentry or
    inode.
    """

    size: Counts
    alone: NDArray[np.bool_]
    several: NDArray[np.bool_]
    unseen: NDArray[np.bool_]
    thing: NDArray[np.bool_]


class Owned(NamedTuple):
    """`finding`, shape (n,): of each live object.  `owner`, `freeable`, shape (f,): of each finding the group
    that owns the others, and whether the kernel can give its objects up.
    """

    finding: Positions
    owner: Positions
    freeable: NDArray[np.bool_]


def owned(live: EventBatch, member: Positions, pinned: NDArray[np.int8], about: Traits) -> Owned:
    """The findings that n live objects of g groups make.

    `member`, shape (n,): the group of each object; `pinned`, shape (n,): 1 pinned, 0 not, -1 not known;
    `about`: the groups.
    """
    order = np.lexsort((live.ts_ns, live.tid))
    sorted_member = member[order]
    act, wide = acts_of(live, sorted_member, order, about.size)
    core, above = _linked(act, wide, sorted_member, about)
    of = _owner_of(act, sorted_member, core, above)
    freeable = _freeable(act, of, pinned[order], about.size[sorted_member])
    freeable[about.thing[sorted_member]] = 0
    finding = np.empty(len(order), np.intp)
    keys, finding[order] = np.unique(of * 2 + freeable, return_inverse=True)
    owners = _owners(finding[order], sorted_member, wide, core, keys // 2, about)
    return Owned(finding, owners, (keys % 2).astype(np.bool_))


def _linked(
    act: Positions,
    wide: Positions,
    member: Positions,
    about: Traits,
) -> tuple[Positions, dict[int, list[int]]]:
    """(the cluster of each group, named by its first; for each cluster the common groups that hang on it).

    Wide acts say only which groups come one with one, with as many objects: of a common group they hold
    too much.
    """
    objects = np.bincount(member, minlength=len(about.size))
    met, far = (_Met.of(each, member, objects, about.alone) for each in (act, wide))
    fewest, most = (each(objects[far.one], objects[far.other]) for each in (np.minimum, np.maximum))
    far = far._replace(mutual=far.mutual & (fewest >= SHARE * most))
    one, other = (np.concatenate([getattr(each, name)[each.mutual] for each in (met, far)]) for name in ENDS)
    core = _joined(len(objects), one, other)
    one, other, acts = met.one, met.other, met.acts
    least = np.minimum(acts[one], acts[other])
    hangs = (met.common >= SHARE * least) & ~met.mutual & met.alike & (least >= FEW_ACTS)
    hangs &= core[one] != core[other]
    fewer = np.where(acts[one] < acts[other], one, other)[hangs]
    return _hung(core, fewer, (one[hangs] + other[hangs]) - fewer, about)


class _Met(NamedTuple):
    """Pairs of groups that met: `one`, `other`, how many acts they have in `common`, shape (p,).

    `acts`: of each group, shape (g,).  `alike`: they may belong together; `mutual`: they do.
    """

    one: Positions
    other: Positions
    common: Counts
    acts: Counts
    alike: NDArray[np.bool_]
    mutual: NDArray[np.bool_]

    @classmethod
    def of(cls, act: Positions, member: Positions, objects: Counts, alone: NDArray[np.bool_]) -> _Met:
        """What met in these acts; `objects`, shape (g,): of each group."""
        none = np.empty((2, 0), np.intp)
        pairs = some_acts(np.unique(np.stack([act, member]), axis=1) if len(act) else none)
        acts = np.bincount(pairs[1], minlength=len(objects))
        one, other, common = together(pairs)
        most = np.maximum(acts[one], acts[other])
        alike = (most >= FEW_ACTS) | (objects[one] == objects[other])
        alike &= ~alone[one] & ~alone[other]
        return cls(one, other, common, acts, alike, (common >= SHARE * most) & alike)


def _hung(
    core: Positions, specific: Positions, general: Positions, about: Traits
) -> tuple[Positions, dict[int, list[int]]]:
    """Which of two groups hangs on the other, where all acts of the `specific` one have the `general` one.

    If the general one has several stacks, is smaller, or is perhaps more common because its frees are not
    seen, just those of its objects hang on the specific one.  Otherwise the specific one is a detail of the
    general one, such as a larger array now and then.
    """
    weight = np.zeros(len(about.size), np.int64)
    np.maximum.at(weight, core, about.size)
    detail = ~about.several[general] & (weight[core[specific]] <= weight[core[general]])
    seen = np.zeros(len(about.size), np.bool_)
    seen[core[~about.unseen]] = True
    detail &= ~about.unseen[general] | ~seen[core[specific]]
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


def _freeable(act: Positions, of: Positions, pinned: NDArray[np.int8], size: Counts) -> NDArray[np.intp]:
    """1 for objects in whose act a part of the same finding can be given up, and none is pinned; else 0.

    `size`, shape (n,): of each object.  What is so much larger than the parts that can be given up is not
    theirs: the name of a dentry is, a cgroup is not part of its directory's dentry.
    """
    key = act * (int(of.max(initial=0)) + 1) + of
    names, which = np.unique(key, return_inverse=True)
    loose, other = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    np.maximum.at(loose, which[pinned == 0], size[pinned == 0])
    np.maximum.at(other, which[pinned < 0], size[pinned < 0])
    held = np.bincount(which[pinned == 1], minlength=len(names))
    can = (loose > 0) & (held == 0) & (other <= MUCH_LARGER * loose)
    found: NDArray[np.intp] = can[which].astype(np.intp)
    return found


def _owners(
    finding: Positions, member: Positions, act: Positions, core: Positions, cluster: Positions, about: Traits
) -> Positions:
    """The owner of each finding: of the groups of its cluster that have one object in each act the largest.

    Of these one whose frees are seen comes first.  If there is none such, it is the one with most bytes.
    All but `about`, `core` and `cluster` by object.
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
    weight = np.where(single, about.size[group], objects * about.size[group])
    order = np.lexsort((-group, weight, single & ~about.unseen[group], single, of))
    last = np.searchsorted(of[order], np.arange(len(cluster)), side="right") - 1
    owners: Positions = group[order][last]
    return owners


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
