# SPDX-License-Identifier: Apache-2.0
"""One event that the trace holds twice, and how it is distinguished from two events.

A program and its twin can both record an event, if an interrupt or another task runs between them.  The
second record then has the same kind, call site and task, and it alone has Flag.RECOVERED.  A large kmalloc
fires its tracepoint twice on some kernels; the second record has the caller's call site, and counts.
Nothing else can happen at the address in between: nobody has the object yet, or it is not free yet.

Some frees are reported by two tracepoints.  kfree_rcu frees the object for its users, and a grace period
later the allocator frees it by kfree: that is a completion, not a second free (COMPLETES).
What a wrong guess can hide, and how that is bounded: docs/analysis.md.

Example: all at address 0x10, by task 7, at call site A.  Programs are not preempted (a kernel before 7.0).

    time   event                  what it is
     1 ms  alloc
     2 ms  alloc, RECOVERED       the same allocation again; this record counts
     5 ms  kfree_rcu              the free
     9 ms  kfree                  its completion
    20 ms  alloc
    60 ms  alloc, RECOVERED       another allocation, for 40 ms is too long: a free was missed.
                                  With preemptible programs (7.0): the same allocation again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag, Kind

IDLE = np.uint32(0)  # the tid of all idle tasks: one for each CPU, none is ever preempted or moved
TWIN_NS = 10_000_000  # the longest time between two records of one event
PREEMPTED_NS = 1_000_000_000  # the same where tasks may be preempted in between (124 ms were seen)
# Frees that are reported again: by their first kind, the kinds of the second report.
COMPLETES = {
    Kind.KFREE_RCU: (Kind.KFREE, Kind.BULK_FREE),
    Kind.NOLOCK_FREE: (Kind.KFREE_RCU,),
    Kind.WRONG_CACHE_FREE: (Kind.CACHE_FREE, Kind.BULK_FREE),
}


def longest_wait_ns(preemptible: bool) -> int:
    """The longest time between two records of one event, in ns."""
    return PREEMPTED_NS if preemptible else TWIN_NS


def same_event(
    sites: Sites, first: EventBatch, second: EventBatch, preemptible: bool = False
) -> NDArray[np.bool_]:
    """Whether `second[i]` is another record of the event `first[i]`, shape (n,).

    Both are allocations, or both frees, of one address; `second` is the next event there.
    `preemptible`: whether tasks may be preempted between a program and its twin, or go on to another CPU.

    An allocation after a missed free looks the same if its first program was skipped and its twin recorded
    it.  It is then taken for a repetition.  losses.py counts how many of these there can be.
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
    """Whether the second of two records, given by their sites, is that of the twin: shape (n,).

    The two reports of a large kmalloc are not such a pair: their call sites differ.
    """
    recovered = (sites["flags"] & np.uint8(Flag.RECOVERED)) != 0
    twin: NDArray[np.bool_] = recovered[second] & ~recovered[first]
    for name in ("kind", "call_site"):
        twin &= sites[name][first] == sites[name][second]
    return twin


def completes(sites: Sites, first: EventBatch, second: EventBatch) -> NDArray[np.bool_]:
    """Whether the free `second[i]` completes the free `first[i]` (COMPLETES), shape (n,).

    Both are frees of one address; `second` is the next event there.
    """
    kind = sites["kind"]
    done = np.zeros(first.size, np.bool_)
    for begun, ends in COMPLETES.items():
        done |= (kind[first.site] == np.uint8(begun)) & np.isin(kind[second.site], ends)
    return done


class RecentFrees:
    """The last frees of earlier chunks: a twin's record of one of them may come in the next chunk.

    Few frees are recorded by twins, so they are searched chunk by chunk, each sorted by address.
    """

    def __init__(self, preemptible: bool) -> None:
        self._preemptible = preemptible
        self._wait_ns = longest_wait_ns(preemptible)
        self._chunks: list[tuple[int, EventBatch]] = []  # until when (ns), and what; the newest first

    def keep(self, events: EventBatch, ended: Positions, newest_ns: int) -> None:
        """Keep the frees of a chunk, and forget those too old to be recorded again.

        `ended`: positions among the events, sorted by ptr, of the last event at each address that is free
        now.  That is its free, or the allocation of an object whose slab was given back.  `newest_ns`: the
        time of the chunk's last event.
        """
        oldest_ns = newest_ns - self._wait_ns
        self._chunks = [(until_ns, kept) for until_ns, kept in self._chunks if until_ns > oldest_ns]
        recent = ended[events.ts_ns[ended] > oldest_ns]
        if len(recent):
            self._chunks.insert(0, (newest_ns, events.take(recent)))

    def recorded_twice(self, sites: Sites, frees: EventBatch) -> NDArray[np.bool_]:
        """Which of `frees`, each the first event of a chunk at its address, repeat a free that was kept."""
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
