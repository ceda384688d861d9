# SPDX-License-Identifier: Apache-2.0
"""How many of the objects called outstanding may have been freed without being seen.

A free can be missed in two ways.  It is among the lost events: those lost after the allocation of the object
bound their number (losses.py).  Or it took a path that cannot be traced on this kernel: then the kernel's own
count of the cache bounds it (account.py), or the slab itself, read at the end, says that the object is in use
(pairing/slab_states.py).  JSON has the values exact (confirmed: none can have been freed), bounded (upper
bound: at most `maybe_freed`) and unprovable (unverified: no bound is known).  Damaged files make all
unprovable.  The rules with their reasons: docs/analysis.md.

Example: three objects of one group, allocated in seconds 1, 4 and 7 of ten.

    what is known                                               maybe_freed  confidence
    nothing lost, every path traced                                       0  exact
    2 events lost in second 8                                             2  bounded
    9 events lost in second 2 (counters are read a second late)           1  bounded
    bulk frees cannot be traced                                           -  unprovable
    the same, but all three are in use at the end by their slab           0  exact
    kfree_rcu cannot be traced, all three are in use at the end           0  bounded (one may wait for its
                                                                             grace period: an assumption)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.trust.account import Account
from slabtrace.analysis.trust.filters import PARTIAL_FILTERS, filtered
from slabtrace.analysis.trust.losses import Losses, Of
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import Manifest

EXACT, BOUNDED, UNPROVABLE = "exact", "bounded", "unprovable"
NO_BOUND = np.int64(2**62)

# Silent paths by what they do.  Any other path in the manifest may do both.  Imports lack the ends of slabs
# and their states at the end, which only show frees.
KFREE_RCU = "kvfree_call_rcu"
FREES = frozenset({"kmem_cache_free_bulk", KFREE_RCU, "kfree_nolock", "slab ends", "slab states"})
ALLOCATIONS = frozenset({"kmem_cache_alloc_bulk", "kmalloc_nolock"})


class Missed(NamedTuple):
    """What shows that events were missed, by cache, arrays of shape (c,).

    `frees`: inferred frees.  `allocations`: objects in use at the end whose allocation was not seen
    (unseen_allocations.py).  `carried`: objects that earlier parts of a series left; they may have been
    freed before this part began, so the kernel's count over this part does not bound them.
    """

    frees: Counts
    allocations: Counts
    carried: Counts


class InUse(IntEnum):
    """What it means for a cache that a slab lists an object as in use at the end."""

    PROVES = 0  # the object was not freed on a path that is not traced
    ASSUMED = 1  # it may have been, but nothing in the recording shows that any object of the cache was
    NOTHING = 2  # objects of the cache are allocated or freed on paths that are not traced


class Bounds(NamedTuple):
    """What is known of each group, arrays of shape (g,).

    `maybe_freed`: objects that may have been freed without being seen, at most (NO_BOUND: any number).
    `assumed`: whether that rests on an assumption (InUse.ASSUMED).  `in_use`: objects in use at the end.
    """

    maybe_freed: Counts
    assumed: NDArray[np.bool_]
    in_use: Counts


@dataclass
class Proof:
    """What bounds the missed frees.

    `losses`: the lost events by time.  `silent`, shape (c,): frees on paths that are not traced, at most
    (NO_BOUND: any number).  `means`, shape (c,): InUse.  `slabs`: the objects' states at the end.
    `per_event`, shape (c,): how many objects a lost event may have freed (the pages of a block); None: 1.
    """

    slabs: SlabStates
    losses: Losses
    silent: Counts
    means: NDArray[np.int8]
    per_event: Counts | None = None

    def bounds(self, live: EventBatch, member: Positions, cache_of_group: Positions) -> Bounds:
        """How many of the n objects `live` in each group may have been freed without being seen.

        `member`: the group of each object, shape (n,); `cache_of_group`: a row of Caches, shape (g,).
        An object confirmed in use can only have been freed and its address allocated again, so an allocation
        was lost; and a free was, unless some frees are not traced.
        """
        groups, means = len(cache_of_group), self.means[cache_of_group]
        used = self.slabs.held(live)
        in_use, size = (np.bincount(each, minlength=groups) for each in (member[used], member))
        confirmed = used & (means[member] != InUse.NOTHING)
        others = np.bincount(member[~confirmed], minlength=groups)
        silent = self.silent[cache_of_group]
        each = np.ones(groups, np.int64) if self.per_event is None else self.per_event[cache_of_group]
        ts_ns, losses = live.ts_ns, self.losses
        again = np.where(silent[member] > 0, losses.since(ts_ns, Of.ALLOCATIONS), losses.reallocating(ts_ns))
        lost = _freed_by_lost_events(losses.since(ts_ns, Of.FREES), ts_ns, ~confirmed, member, each)
        lost += _freed_by_lost_events(again, ts_ns, confirmed, member, each)
        most = np.minimum(size, lost + np.minimum(silent, others))
        unknown = (silent == NO_BOUND) & (others == size)
        assumed = (silent > 0) & (in_use > 0) & (means == InUse.ASSUMED)
        return Bounds(np.where(unknown, NO_BOUND, most), assumed, in_use)

    def summed(self, row: Positions, number: int) -> Proof:
        """The proof for `number` caches that are sums of these; `row`, shape (c,): where each belongs."""
        silent, unknown = np.zeros(number, np.int64), np.zeros(number, np.bool_)
        np.add.at(silent, row, np.where(self.silent == NO_BOUND, 0, self.silent))
        np.logical_or.at(unknown, row, self.silent == NO_BOUND)
        means = np.zeros(number, np.int8)
        np.maximum.at(means, row, self.means)
        each = np.ones(number, np.int64)
        if self.per_event is not None:
            np.maximum.at(each, row, self.per_event)
        return Proof(self.slabs, self.losses, np.where(unknown, NO_BOUND, silent), means, each)


def _freed_by_lost_events(
    lost: Counts, ts_ns: NDArray[np.int64], which: NDArray[np.bool_], member: Positions, per_event: Counts
) -> Counts:
    """The most objects of each group, of those in `which`, that lost events can have freed: shape (g,).

    `lost`, shape (n,): how many were lost at the time of each object or later.  `per_event`, shape (g,): how
    many objects one event may have freed.
    A lost event can only have freed an object that was allocated before it.  So of the j newest objects
    of a group at most L(t_j) were freed, as many as were lost at the time of the j-th or later; and of all n
    at most L(t_j) + n - j.  This holds for every j; the least number is returned.
    """
    lost, ts_ns, member = lost[which], ts_ns[which], member[which]
    size = np.bincount(member, minlength=len(per_event))
    order = np.lexsort((-ts_ns, member))
    first = np.cumsum(size) - size
    j = np.arange(1, len(order) + 1) - first[member[order]]
    bound = lost[order] * per_event[member[order]] + size[member[order]] - j
    most = size.copy()
    np.minimum.at(most, member[order], bound)
    return most


def prove(
    slabs: SlabStates,
    account: Account,
    missed: Missed,
    losses: Losses,
    manifest: Manifest,
    damaged: bool,
    caches: Caches | None = None,
) -> Proof:
    """What bounds the missed frees of each cache.

    `caches`: of which every free is traced, whatever paths of the slab allocator are not, and how many
    objects an event may be; None: none, and one.

    Frees on paths that are not traced are bounded by the kernel's own count only where no allocation can be
    missing from either count.
    """
    untraced = {path.path for path in manifest.coverage.unattached}
    per_event = np.int64(1) if caches is None else caches.pages_per_event
    lost = losses.total * per_event
    silent = np.where(missed.frees > lost, NO_BOUND, 0)  # else some path is not known
    means = _what_in_use_means(untraced, missed, losses, manifest)
    if damaged:
        silent[:], means[:] = NO_BOUND, InUse.NOTHING
    elif untraced - ALLOCATIONS:
        bound = np.maximum(-account.residue, 0) + account.slack + losses.total
        allocations_traced = untraced <= FREES and not filtered(manifest, PARTIAL_FILTERS)
        comparable = account.known & allocations_traced & (missed.carried == 0)
        silent = np.where(comparable, bound, NO_BOUND)
        if caches is not None:
            silent[caches.all_traced & (missed.frees <= lost)] = 0
    return Proof(slabs, losses, silent, means, None if caches is None else caches.pages_per_event)


def _what_in_use_means(
    untraced: set[str], missed: Missed, losses: Losses, manifest: Manifest
) -> NDArray[np.int8]:
    """InUse of each cache, shape (c,).  Two things can make a freed object look in use:

    - its address was allocated again, on a path that is not traced (`reallocated`);
    - kfree_rcu, not traced, freed it, and it waits for a grace period (`waiting`; --settle waits that out).

    The six cases:

    | what is not traced            | more missed frees, or allocations, than lost events | InUse   |
    |-------------------------------|-----------------------------------------------------|---------|
    | nothing                       | no                                                  | PROVES  |
    | nothing                       | frees: they took a path that is not known           | NOTHING |
    | other frees                   | (does not matter)                                   | PROVES  |
    | allocations                   | allocations, or events left out on request          | NOTHING |
    | kfree_rcu, not waited out     | frees                                               | NOTHING |
    | either of these               | neither                                             | ASSUMED |
    """
    frees_missed = missed.frees > losses.total
    if not untraced:
        return np.where(frees_missed, InUse.NOTHING, InUse.PROVES).astype(np.int8)
    reallocated = bool(untraced - FREES)
    waiting = KFREE_RCU in untraced and not manifest.options.get("settle")
    shown = np.zeros(len(frees_missed), np.bool_)
    if reallocated:
        shown |= (missed.allocations > losses.total) | filtered(manifest, PARTIAL_FILTERS)
    if waiting:
        shown |= frees_missed
    otherwise = InUse.ASSUMED if reallocated or waiting else InUse.PROVES
    return np.where(shown, InUse.NOTHING, otherwise).astype(np.int8)


def confidence_of(maybe_freed: Counts, assumed: NDArray[np.bool_] | None = None) -> list[str]:
    """The confidence of each group, as JSON has it; a group that rests on an assumption is not exact."""
    words = np.where(maybe_freed == NO_BOUND, UNPROVABLE, BOUNDED).astype(object)
    words[(maybe_freed == 0) & (True if assumed is None else ~assumed)] = EXACT
    return [str(word) for word in words]
