# SPDX-License-Identifier: Apache-2.0
"""The events around a finding, found in a second pass over the trace.

The pass keeps only the events at the findings' addresses, so the findings bound its memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.duplicates import completes, same_event
from slabtrace.trace.format.batch import EventBatch, concatenate
from slabtrace.trace.format.schema import Kind

# The kernel function that the caller of each kind called; newer recorders may have more kinds.
CALLED: dict[int, str] = {
    Kind.KMALLOC: "kmalloc",
    Kind.CACHE_ALLOC: "kmem_cache_alloc",
    Kind.BULK_ALLOC: "kmem_cache_alloc_bulk",
    Kind.NOLOCK_ALLOC: "kmalloc_nolock",
    Kind.PERCPU_ALLOC: "alloc_percpu",
    Kind.PAGES_ALLOC: "alloc_pages",
    Kind.VMALLOC: "vmalloc",
    Kind.KFREE: "kfree",
    Kind.CACHE_FREE: "kmem_cache_free",
    Kind.BULK_FREE: "kmem_cache_free_bulk",
    Kind.NOLOCK_FREE: "kfree_nolock",
    Kind.KFREE_RCU: "kfree_rcu",
    Kind.PERCPU_FREE: "free_percpu",
    Kind.PAGES_FREE: "__free_pages",
    Kind.VFREE: "vfree",
    Kind.WRONG_CACHE_FREE: "kmem_cache_free",
}


class History:
    """All events of objects at some addresses, by address and time, without repeated records."""

    def __init__(
        self,
        addresses: NDArray[np.uint64],
        batches: Iterable[EventBatch],
        sites: Sites,
        preemptible: bool = False,
    ) -> None:
        self._sites = sites
        self._preemptible = preemptible
        wanted = np.unique(addresses)
        parts = []
        for batch in batches:
            place = np.minimum(np.searchsorted(wanted, batch.ptr), len(wanted) - 1)
            found = np.flatnonzero(wanted[place] == batch.ptr)
            parts.append(batch.take(found[~sites.page_end[batch.site[found]]]))
        every = concatenate(parts)
        self._events = self._without_repeats(every.take(np.lexsort((every.ts_ns, every.ptr))))

    def _without_repeats(self, events: EventBatch) -> EventBatch:
        """Without second records of an event, and without completions of a free (duplicates.py)."""
        if not events.size:
            return events
        first, second = events.take(slice(None, -1)), events.take(slice(1, None))
        alike = (first.ptr == second.ptr) & (self._sites.free[first.site] == self._sites.free[second.site])
        again = same_event(self._sites, first, second, self._preemptible)
        again |= completes(self._sites, first, second)
        return events.take(np.append(True, ~(alike & again)))

    def before(self, ptr: int, ts_ns: int) -> tuple[EventBatch | None, EventBatch | None, bool]:
        """The events at `ptr` before `ts_ns`: (the last allocation, the first free after it, clear).

        None for an event that was not seen.  `clear`: the address was not live before that allocation, so no
        free was missed there.
        """
        begin, end = np.searchsorted(self._events.ptr, np.array([ptr, ptr + 1], np.uint64)).tolist()
        now = begin + int(np.searchsorted(self._events.ts_ns[begin:end], ts_ns))
        is_free = self._sites.free[self._events.site[begin:now]]
        allocs = np.flatnonzero(~is_free)
        last = int(allocs[-1]) if len(allocs) else -1
        frees = np.flatnonzero(is_free[last + 1 :])
        free = begin + last + 1 + int(frees[0]) if len(frees) else -1
        clear = last < 1 or bool(is_free[last - 1])
        return self._one(begin + last if last >= 0 else -1), self._one(free), clear

    def _one(self, at: int) -> EventBatch | None:
        return self._events.take(slice(at, at + 1)) if at >= 0 else None


def described(
    event: EventBatch | None, sites: Sites, caches: Caches, lookup: Lookup
) -> dict[str, Any] | None:
    """One event as a dict; None stays None.

    Keys: called, ts_ns (since the recording's start), cpu, pid, tid, comm, cache, call_site, symbol, stack
    (list of str, innermost first).  pid and comm of an unknown task are None.
    """
    if event is None:
        return None
    row = int(lookup.tasks.rows(event.tid, event.ts_ns)[0])
    ts_ns, site = int(event.ts_ns[0]), int(event.site[0])
    call_site = int(sites["call_site"][site])
    return {
        "called": CALLED.get(int(sites["kind"][site]), "?"),
        "ts_ns": ts_ns - lookup.started_ns,
        "cpu": int(event.cpu[0]),
        "pid": int(lookup.tasks.tgid[row]) if row >= 0 else None,
        "tid": int(event.tid[0]),
        "comm": lookup.tasks.comm[row] if row >= 0 else None,
        "cache": caches.names[int(caches.of_site[site])],
        "call_site": call_site,
        "symbol": lookup.symbols.name(call_site, ts_ns),
        "stack": lookup.stacks.names(int(sites["stack_id"][site]), ts_ns),
    }
