# SPDX-License-Identifier: Apache-2.0
"""What a finding may claim: how many of the objects called outstanding may have been freed unseen.

An object allocated at t is called outstanding because no free of it was seen.  A free of it can
have gone unseen in two ways only.

Lost events: at most as many as were lost at t or later (losses.py).  A lost event may have been a
free of any cache.  Of a group's objects, those allocated at t or later can have lost their frees to
losses at t or later only; so of the j newest at most L(t_j) were freed, and of all n at most
min over j of L(t_j) + n - j.

Silent paths of free that nothing watched: any number, of any cache.  Only the kernel's own account
can bound it (account.py).  With A, F the traced allocations and frees (seen or proved), a, f the
unseen ones, the kernel's change is K = (A + a) - (F + f), so f = (A - F) - K + a, and slabinfo gives
K to within the account's slack.  Unseen allocations a must be bounded too: with every path of
allocation watched, a is at most the events lost.  With one unwatched it is not: objects allocated
silently and kept balance as many freed silently, and leave no other sign.  Nor is it where events
were left out on request, for then A - F is not the cache's.

A free that was proved though it was not seen (its address or slab used again) was missed by one of
these ways.  Where more of a cache were than all losses together, and every known path is watched,
some way is not known, and nothing is claimed of that cache.

The slabs themselves are asked at the end (slab_states.py).  An object that its slab then held in use
was not freed silently, but for two cases.  Its address may also have been taken again silently:
excluded where every path of allocation is watched.  Or kfree_rcu, unwatched, freed it, and it still
waits for a grace period: excluded where the recording waited that out (--settle).  Else both are
assumed of caches that show nothing of the kind in the whole recording (no unseen allocation, no
unseen free, but what events lost may have been), and then the finding is not called exact, however
few may be freed.

`exact`: none can have been freed.  `bounded`: at most `maybe_freed`.  `unprovable`: no bound is known.
Files of the trace that are damaged make everything unprovable: what they held is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.trust.account import Account
from slabtrace.analysis.trust.losses import Losses
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Manifest

EXACT, BOUNDED, UNPROVABLE = "exact", "bounded", "unprovable"
NO_BOUND = np.int64(2**62)

# Paths that fire no kmem tracepoint, by what passes there unseen (silent_paths.py).  A path not
# listed here may hide both.
KFREE_RCU = "kvfree_call_rcu"
FREES = frozenset({"kmem_cache_free_bulk", KFREE_RCU, "kfree_nolock"})
ALLOCATIONS = frozenset({"kmem_cache_alloc_bulk", "kmalloc_nolock"})

# Options by which a recording leaves out events.
TASK_FILTERS = ("min_size", "max_size", "pid", "comm", "sample")  # of a cache some, but not all
FILTERS = ("cache", *TASK_FILTERS)


class Missed(NamedTuple):
    """What shows of events not seen, by cache, shape (c,): frees proved, and objects in use at the end
    whose allocation was not seen (slab_states.py); and how many objects earlier parts of a series left, of
    which the kernel's account of this one says nothing."""

    frees: Counts
    allocations: Counts
    carried: Counts


class InUse(IntEnum):
    """What it proves that a slab held an object in use at the end: that it was not freed silently?"""

    PROVES = 0
    ASSUMED = 1  # it may have been freed by an unwatched path all the same; nothing shows that any was
    NOTHING = 2  # objects of the cache are freed, or taken, by unwatched paths


class Bounds(NamedTuple):
    """Of each group, shape (g,).

    `maybe_freed`: the most objects freed unseen (NO_BOUND: any), `assumed`: whether that rests on an
    assumption; `in_use`: how many objects their slabs held in use at the end.
    """

    maybe_freed: Counts
    assumed: NDArray[np.bool_]
    in_use: Counts


@dataclass
class Proof:
    """What bounds the frees not seen: `losses` by time, `silent` by cache (NO_BOUND: nothing does).

    `means`: InUse, by cache.  `slabs`: what they said at the end.
    """

    slabs: SlabStates
    losses: Losses
    silent: Counts
    means: NDArray[np.int8]

    def bounds(self, live: EventBatch, member: Positions, cache_of_group: Positions) -> Bounds:
        """How many of the n objects `live` in each group may have been freed unseen.

        `member`: the group of each, shape (n,); `cache_of_group`: a row of Caches, shape (g,).
        """
        groups, means = len(cache_of_group), self.means[cache_of_group]
        held = self.slabs.held(live)
        in_use, size = (np.bincount(each, minlength=groups) for each in (member[held], member))
        doubtful = ~held | (means[member] == InUse.NOTHING)
        lost = self._lost(live.ts_ns[doubtful], member[doubtful], groups)
        lost += self._lost(live.ts_ns[~doubtful], member[~doubtful], groups, events_each=2)
        silent = self.silent[cache_of_group]
        doubts = np.bincount(member[doubtful], minlength=groups)
        most = np.minimum(size, lost + np.minimum(silent, doubts))
        unknown = (silent == NO_BOUND) & (doubts == size)
        assumed = (silent > 0) & (in_use > 0) & (means == InUse.ASSUMED)
        return Bounds(np.where(unknown, NO_BOUND, most), assumed, in_use)

    def _lost(self, ts_ns: NDArray[np.int64], member: Positions, groups: int, events_each: int = 1) -> Counts:
        """The most objects of each group whose frees can be among the events lost.

        `events_each`: how many must have been lost for one: two where its address was taken again.
        """
        size = np.bincount(member, minlength=groups)
        order = np.lexsort((-ts_ns, member))
        first = np.cumsum(size) - size
        newer = np.arange(1, len(order) + 1) - first[member[order]]
        bound = self.losses.since(ts_ns[order]) // events_each + size[member[order]] - newer
        lost = size.copy()
        np.minimum.at(lost, member[order], bound)
        return lost


def prove(
    slabs: SlabStates, account: Account, missed: Missed, losses: Losses, manifest: Manifest, damaged: bool
) -> Proof:
    """What the trace can prove of each cache."""
    unwatched = {path.path for path in manifest.coverage.unattached}
    silent = np.where(missed.frees > losses.total, NO_BOUND, 0)
    means = _meaning(unwatched, missed, losses, manifest)
    if damaged:
        silent[:], means[:] = NO_BOUND, InUse.NOTHING
    elif unwatched - ALLOCATIONS:
        bound = np.maximum(-account.residue, 0) + account.slack + losses.total
        sealed = unwatched <= FREES and not filtered(manifest)
        silent = np.where(account.known & sealed & (missed.carried == 0), bound, NO_BOUND)
    return Proof(slabs, losses, silent, means)


def _meaning(unwatched: set[str], missed: Missed, losses: Losses, manifest: Manifest) -> NDArray[np.int8]:
    """InUse of each cache."""
    unseen_frees = missed.frees > losses.total
    if not unwatched:  # then the frees went a way that is not known
        return np.where(unseen_frees, InUse.NOTHING, InUse.PROVES).astype(np.int8)
    taken = unwatched - FREES != set()
    waiting = KFREE_RCU in unwatched and not manifest.options.get("settle")
    shows = np.zeros(len(unseen_frees), np.bool_)
    if taken:
        shows |= (missed.allocations > losses.total) | filtered(manifest, TASK_FILTERS)
    if waiting:
        shows |= unseen_frees
    otherwise = InUse.ASSUMED if taken or waiting else InUse.PROVES
    return np.where(shows, InUse.NOTHING, otherwise).astype(np.int8)


def filtered(manifest: Manifest, filters: tuple[str, ...] = FILTERS) -> bool:
    """Whether the recording left out events on request: then the kernel's account is of more than it."""
    return any(manifest.options.get(name) not in (None, False, [], "", 0) for name in filters)


def in_words(maybe_freed: Counts, assumed: NDArray[np.bool_] | None = None) -> list[str]:
    """The confidence of each group; nothing that is `assumed` is exact."""
    words = np.where(maybe_freed == NO_BOUND, UNPROVABLE, BOUNDED).astype(object)
    words[(maybe_freed == 0) & (True if assumed is None else ~assumed)] = EXACT
    return [str(word) for word in words]
