# SPDX-License-Identifier: Apache-2.0
"""Several records of one event, and how they are told from several events.

A large kmalloc fires its tracepoint twice on some kernels (KERNEL-FACTS 3: same address, task
and size): the second, with the caller's call site, counts.  An event nested between a program and
its twin may be recorded by both (KERNEL-FACTS 5): the second alone bears Flag.RECOVERED and follows at its
address with the same kind, call site and task.  Interrupts may lie between the two records, and where
programs are preemptible (7.0; manifest: coverage.programs_preemptible) other tasks, for as long as they
take; or the task goes on to another CPU, whose twin finds no word.  Only the idle tasks, which are all
called 0, never do.  Nothing else can happen at the address meanwhile: nobody has the object yet, or it
is not freed before the twin returns.

A second allocation, after a free that was missed, looks the same if it too was skipped by its first
program and recorded by its twin.  The wait of a second would take it for the first one's repetition, and
with it goes the sign that a free was missed.  Its object is live either way; and of those taken so at
most as many are wrong as misses of the first program are left over when all other records of its twin
are accounted for.  Usually none are; else they count as skipped (losses.py), and nothing is exact.
A second free taken so hides that an allocation was missed, which keeps no object among the outstanding.

One free may also be told by several tracepoints, by each in its way.  A kfree_rcu frees for its users
at once, for the allocator after a grace period: the kfree or bulk free that follows at its address is
its completion, not a second free; kfree_rcu_nolock may go on to an ordinary kfree_rcu.  A
kmem_cache_free that named the wrong cache is told by the allocator's complaint, then by the tracepoint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag, Kind

IDLE = np.uint32(0)
TWIN_NS = 10_000_000  # the most that may lie between two records of one event
PREEMPTED_NS = 1_000_000_000  # the same of a task that may be preempted between them (124 ms were seen)
# The kinds of free that go on, and the kinds that such a free goes on to.
COMPLETES = {
    Kind.KFREE_RCU: (Kind.KFREE, Kind.BULK_FREE),
    Kind.NOLOCK_FREE: (Kind.KFREE_RCU,),
    Kind.WRONG_CACHE_FREE: (Kind.CACHE_FREE, Kind.BULK_FREE),
}


def longest_wait_ns(preemptible: bool) -> int:
    """The most that may lie between two records of one event, in ns."""
    return PREEMPTED_NS if preemptible else TWIN_NS


def same_event(
    sites: Sites, first: EventBatch, second: EventBatch, preemptible: bool = False
) -> NDArray[np.bool_]:
    """Whether `second[i]` records the event that `first[i]` did, shape (n,).

    Both are allocations or both frees of one address, `second` the next thing seen there.
    `preemptible`: whether tasks may be preempted between a program and its twin.
    """
    apart = second.ts_ns - first.ts_ns
    same: NDArray[np.bool_] = (apart < longest_wait_ns(preemptible)) & (first.tid == second.tid)
    if not same.any():
        return same
    a, b = first.site, second.site
    flags, close, a_task = sites["flags"], apart < TWIN_NS, first.tid != IDLE
    large = (flags[a] & flags[b] & np.uint8(Flag.LARGE)) != 0
    large &= ~sites.free[a] & (sites["bytes_req"][a] == sites["bytes_req"][b])
    twin = by_twin(sites, a, b) & (a_task | (close & (first.cpu == second.cpu)))
    same &= (large & close) | twin
    return same


def by_twin(sites: Sites, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """Of two records of one event, by their sites: whether the second is its twin's, shape (n,).

    The two of a large kmalloc, recorded by its program or by its twin, have different call sites.
    """
    recovered = (sites["flags"] & np.uint8(Flag.RECOVERED)) != 0
    twin: NDArray[np.bool_] = recovered[second] & ~recovered[first]
    for name in ("kind", "call_site"):
        twin &= sites[name][first] == sites[name][second]
    return twin


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
    """What ended last at the addresses of earlier chunks, for the twins' records among the next frees.

    Only those are looked up, and few: what is kept is sorted by address, and searched chunk by chunk.
    """

    def __init__(self, preemptible: bool) -> None:
        self._preemptible = preemptible
        self._wait_ns = longest_wait_ns(preemptible)
        self._chunks: list[tuple[int, EventBatch]] = []  # until when (ns), and what; the newest first

    def keep(self, events: EventBatch, ended: Positions, newest_ns: int) -> None:
        """Keep what a chunk left freed, and forget what no later event can record again.

        `ended`: positions among the events, by ptr, of the last of each address: its free, or the
        allocation of an object that its slab's end proved freed (whose free, if it comes, is of
        another kind).  `newest_ns`: when the chunk ended.
        """
        oldest_ns = newest_ns - self._wait_ns
        self._chunks = [(until_ns, kept) for until_ns, kept in self._chunks if until_ns > oldest_ns]
        recent = ended[events.ts_ns[ended] > oldest_ns]
        if len(recent):
            self._chunks.insert(0, (newest_ns, events.take(recent)))

    def recorded_twice(self, sites: Sites, frees: EventBatch) -> NDArray[np.bool_]:
        """Which of `frees`, the first events of a chunk at their addresses, were kept already."""
        twice = np.zeros(frees.size, np.bool_)
        left = np.flatnonzero(sites["flags"][frees.site] & np.uint8(Flag.RECOVERED))
        for _, chunk in self._chunks:
            if not len(left):
                break
            place = np.minimum(np.searchsorted(chunk.ptr, frees.ptr[left]), chunk.size - 1)
            known = chunk.ptr[place] == frees.ptr[left]
            found = left[known]
            first, second = chunk.take(place[known]), frees.take(found)
            twice[found] = same_event(sites, first, second, self._preemptible)
            left = left[~known]
        return twice
