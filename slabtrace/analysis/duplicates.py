# SPDX-License-Identifier: Apache-2.0
"""Several records of one event, and how they are told from several events.

A large kmalloc fires its tracepoint twice on some kernels (KERNEL-FACTS 3: same address, task
and size): the second, with the caller's call site, counts.  An event nested between a program and
its twin may be recorded by both (KERNEL-FACTS 5): the second bears Flag.RECOVERED and follows at its
address with the same kind, call site and task.  Interrupts may lie between the two records, and where
tracepoints can be preempted (7.0) other tasks; or the task goes on to another CPU, whose twin finds no
word.  Only the idle tasks, which are all called 0, never do.

One free may also be told by several tracepoints, by each in its way.  A kfree_rcu frees for its users
at once, for the allocator after a grace period: the kfree or bulk free that follows at its address is
its completion, not a second free; kfree_rcu_nolock may go on to an ordinary kfree_rcu.  A
kmem_cache_free that named the wrong cache is told by the allocator's complaint, then by the tracepoint.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.sites import Sites
from slabtrace.trace.batch import EventBatch, concatenate
from slabtrace.trace.schema import Flag, Kind

IDLE = np.uint32(0)
TWIN_NS = 10_000_000  # the most that may lie between two records of one event
# The kinds of free that go on, and the kinds that such a free goes on to.
COMPLETES = {
    Kind.KFREE_RCU: (Kind.KFREE, Kind.BULK_FREE),
    Kind.NOLOCK_FREE: (Kind.KFREE_RCU,),
    Kind.WRONG_CACHE_FREE: (Kind.CACHE_FREE, Kind.BULK_FREE),
}


def same_event(sites: Sites, first: EventBatch, second: EventBatch) -> NDArray[np.bool_]:
    """Whether `second[i]` records the event that `first[i]` did, shape (n,).

    Both are allocations or both frees of one address, `second` the next thing seen there.
    """
    apart = second.ts_ns - first.ts_ns
    close: NDArray[np.bool_] = (apart < TWIN_NS) & (first.tid == second.tid)
    if not close.any():
        return close
    a, b = first.site, second.site
    flags = sites["flags"]
    large = (flags[a] & flags[b] & np.uint8(Flag.LARGE)) != 0
    large &= ~sites.free[a] & (sites["bytes_req"][a] == sites["bytes_req"][b])
    twin = (flags[b] & np.uint8(Flag.RECOVERED)) != 0
    twin &= (sites["kind"][a] == sites["kind"][b]) & (sites["call_site"][a] == sites["call_site"][b])
    twin &= (first.cpu == second.cpu) | (first.tid != IDLE)
    close &= large | twin
    return close


def completes(sites: Sites, first: EventBatch, second: EventBatch) -> NDArray[np.bool_]:
    """Whether the free `second[i]` is what the free `first[i]` goes on to (COMPLETES), shape (n,).

    Both are frees of one address, `second` the next thing seen there.
    """
    kind = sites["kind"]
    done = np.zeros(first.size, np.bool_)
    for begun, ends in COMPLETES.items():
        done |= (kind[first.site] == np.uint8(begun)) & np.isin(kind[second.site], ends)
    return done


class RecentFrees:
    """The last frees of a chunk, for those of the next that may be the same event."""

    def __init__(self) -> None:
        self._frees: EventBatch | None = None

    def keep(self, frees: EventBatch, newest_ns: int, touched: NDArray[np.uint64] | None) -> None:
        """Keep `frees`, so late that the next chunk may record them again.

        `frees`: of the last TWIN_NS, each the last that was seen of its address, sorted by ptr.
        `newest_ns`: when the chunk ended.  `touched`: all addresses in a chunk so short that what
        was kept before may still be recent; else None.
        """
        if self._frees is not None and touched is not None:
            stays = (self._frees.ts_ns > newest_ns - TWIN_NS) & ~np.isin(self._frees.ptr, touched)
            frees = concatenate([self._frees.take(np.flatnonzero(stays)), frees])
            frees = frees.take(np.argsort(frees.ptr, kind="stable"))
        self._frees = frees

    def recorded_twice(self, sites: Sites, frees: EventBatch) -> NDArray[np.bool_]:
        """Which of `frees`, the first events of a chunk at their addresses, were kept already."""
        twice = np.zeros(frees.size, np.bool_)
        if self._frees is None or not self._frees.size or not frees.size:
            return twice
        place = np.searchsorted(self._frees.ptr, frees.ptr)
        place[place == self._frees.size] = 0
        known = np.flatnonzero(self._frees.ptr[place] == frees.ptr)
        twice[known] = same_event(sites, self._frees.take(place[known]), frees.take(known))
        return twice
