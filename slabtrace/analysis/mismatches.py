# SPDX-License-Identifier: Apache-2.0
"""Frees that contradict what was seen before: an address freed twice with no allocation between.

That is a double free, or the allocation between the two was missed: the confidence says whether
one can have been.  Evidence is gathered in a second pass over the events of those addresses only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from slabtrace.analysis.cache_names import Caches
from slabtrace.analysis.lifetimes import Paired
from slabtrace.analysis.sites import Sites
from slabtrace.analysis.summary import Lookup
from slabtrace.trace.batch import EventBatch, concatenate

COLUMNS = ("kind", "ptr", "cache", "confidence", "alloc", "first_free", "second_free")
MOST = 10_000  # findings told one by one: more would say that the trace lacks events, not more


class SecondFrees:
    """Collects the second frees of a scan, the first MOST of them; `count` counts all."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[EventBatch] = []
        self._kept = 0

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        found = paired.second_frees
        self.count += len(found)
        if len(found) and self._kept < MOST:
            self._parts.append(paired.events.take(np.sort(found)[: MOST - self._kept]))
            self._kept += self._parts[-1].size

    def events(self) -> EventBatch | None:
        """The second frees in time order; None if there are none."""
        return concatenate(self._parts) if self._parts else None


def mismatches(
    second: EventBatch | None,
    batches: Iterable[EventBatch],
    sites: Sites,
    caches: Caches,
    lookup: Lookup,
    confidence: str,
) -> pd.DataFrame:
    """One row for each second free, in time order: COLUMNS, kind "double-free".

    alloc, first_free, second_free: dicts of ts_ns (since the recording's start), cpu, tid, tgid,
    comm, call_site, symbol, stack (list of str); None for what was not seen.
    """
    if second is None:
        return pd.DataFrame(columns=list(COLUMNS))
    history = _history(second, batches, sites)
    rows = []
    for at in range(second.size):
        alloc, first = _before(history, sites, int(second.ptr[at]), int(second.ts_ns[at]))
        site = int(second.site[at])
        evidence = [_describe(each, sites, lookup) for each in (alloc, first, second.take(slice(at, at + 1)))]
        name = _cache_name(sites, caches, site, alloc)
        rows.append(("double-free", int(second.ptr[at]), name, confidence, *evidence))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _history(second: EventBatch, batches: Iterable[EventBatch], sites: Sites) -> EventBatch:
    """All events of objects at the addresses of `second`, sorted by address, then time."""
    addresses = np.sort(second.ptr)
    parts = []
    for batch in batches:
        place = np.minimum(np.searchsorted(addresses, batch.ptr), len(addresses) - 1)
        found = np.flatnonzero(addresses[place] == batch.ptr)
        parts.append(batch.take(found[~sites.page_end[batch.site[found]]]))
    every = concatenate(parts)
    return every.take(np.lexsort((every.ts_ns, every.ptr)))


def _before(
    history: EventBatch, sites: Sites, ptr: int, ts_ns: int
) -> tuple[EventBatch | None, EventBatch | None]:
    """(the last allocation before `ts_ns` at `ptr`, the first free after it); None for what was not seen."""
    begin, end = np.searchsorted(history.ptr, np.array([ptr, ptr + 1], np.uint64)).tolist()
    now = begin + int(np.searchsorted(history.ts_ns[begin:end], ts_ns))
    allocs = np.flatnonzero(~sites.free[history.site[begin:now]]) + begin
    alloc = history.take(allocs[-1:]) if len(allocs) else None
    free = int(allocs[-1]) + 1 if len(allocs) else begin
    return alloc, history.take(slice(free, free + 1)) if free < now else None


def _cache_name(sites: Sites, caches: Caches, site: int, alloc: EventBatch | None) -> str:
    """The cache that was freed to; a free that names none (kfree_bulk) takes its allocation's."""
    nameless = sites["cache"][site] == 0 and alloc is not None
    return caches.names[int(caches.of_site[alloc.site[0] if alloc is not None and nameless else site])]


def _describe(event: EventBatch | None, sites: Sites, lookup: Lookup) -> dict[str, Any] | None:
    """One event in words."""
    if event is None:
        return None
    row = int(lookup.tasks.rows(event.tid, event.ts_ns)[0])
    ts_ns, site = int(event.ts_ns[0]), int(event.site[0])
    call_site = int(sites["call_site"][site])
    return {
        "ts_ns": ts_ns - lookup.started_ns,
        "cpu": int(event.cpu[0]),
        "tid": int(event.tid[0]),
        "tgid": int(lookup.tasks.tgid[row]) if row >= 0 else None,
        "comm": lookup.tasks.comm[row] if row >= 0 else None,
        "call_site": call_site,
        "symbol": lookup.symbols.name(call_site, ts_ns),
        "stack": lookup.stacks.names(int(sites["stack_id"][site]), ts_ns),
    }
