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

`exact`: none can have been freed.  `bounded`: at most `maybe_freed`.  `unprovable`: no bound is known.
Files of the trace that are damaged make everything unprovable: what they held is not known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.account import Account
from slabtrace.analysis.counts import Counts
from slabtrace.analysis.lifetimes import Positions
from slabtrace.analysis.losses import Losses
from slabtrace.trace.manifest import Manifest

EXACT, BOUNDED, UNPROVABLE = "exact", "bounded", "unprovable"
NO_BOUND = np.int64(2**62)

# Paths that fire no kmem tracepoint, by what passes there unseen (capture/silent.py).  A path not
# listed here may hide both.
FREES = frozenset({"kmem_cache_free_bulk", "kvfree_call_rcu", "kfree_nolock"})
ALLOCATIONS = frozenset({"kmem_cache_alloc_bulk", "kmalloc_nolock"})
PROOFS = frozenset({"mm_page_free"})  # hides neither: without it fewer missed frees are proved

# Options by which a recording leaves out events.
FILTERS = ("cache", "min_size", "max_size", "pid", "comm", "sample")


@dataclass
class Proof:
    """What bounds the frees not seen: `losses` by time, `silent` by cache (NO_BOUND: nothing does)."""

    losses: Losses
    silent: Counts

    def maybe_freed(self, ts_ns: NDArray[np.int64], member: Positions, cache_of_group: Positions) -> Counts:
        """The most objects of each group that may have been freed unseen, shape (g,).

        `ts_ns`, `member`: allocation time and group of each object, shape (n,); `cache_of_group`:
        a row of Caches, shape (g,).  NO_BOUND where there is none.
        """
        groups = len(cache_of_group)
        size = np.bincount(member, minlength=groups)
        order = np.lexsort((-ts_ns, member))
        first = np.cumsum(size) - size
        newer = np.arange(1, len(order) + 1) - first[member[order]]
        bound = self.losses.since(ts_ns[order]) + size[member[order]] - newer
        lost = size.copy()
        np.minimum.at(lost, member[order], bound)
        silent = self.silent[cache_of_group]
        most: Counts = np.where(silent == NO_BOUND, NO_BOUND, np.minimum(size, lost + silent))
        return most


def prove(account: Account, inferred: Counts, losses: Losses, manifest: Manifest, damaged: bool) -> Proof:
    """What the trace can prove of each cache.  `inferred`: missed frees proved, by cache, shape (c,)."""
    unwatched = {path.path for path in manifest.coverage.unattached} - PROOFS
    silent = np.where(inferred > losses.total, NO_BOUND, 0)
    if damaged:
        silent[:] = NO_BOUND
    elif unwatched - ALLOCATIONS:
        bound = np.maximum(-account.residue, 0) + account.slack + losses.total
        sealed = unwatched <= FREES and not filtered(manifest)
        silent = np.where(account.known & sealed, bound, NO_BOUND)
    return Proof(losses, silent)


def filtered(manifest: Manifest) -> bool:
    """Whether the recording left out events on request: then the kernel's account is of more than it."""
    return any(manifest.options.get(name) not in (None, False, [], "", 0) for name in FILTERS)


def in_words(maybe_freed: Counts) -> list[str]:
    """The confidence of each group."""
    return [EXACT if n == 0 else UNPROVABLE if n == NO_BOUND else BOUNDED for n in maybe_freed.tolist()]
