# SPDX-License-Identifier: Apache-2.0
"""Kernels before 6.1 report kmem_cache_free after the object is free, so the time of a free is a little late.

In between another CPU may have allocated the same address, or the slab may have gone back to the page
allocator.  The trace then has the free after that event, though it happened before it.  So a kmem_cache_free
of another CPU, within LATE_NS after an allocation at an address where an object is live, is moved before
that allocation.  One within LATE_NS after the end of its slab counts as before that end (page_ends.py).
The manifest says whether the kernel does so (coverage.free_traced_after).

Example: three events at address 0x10.

    time      CPU  event              as recorded                     as it happened
     1,000 ns   0  alloc A            A: its free was missed          A: freed
    50,000 ns   1  alloc B            B: freed                        B: live
    52,000 ns   0  kmem_cache_free    2,000 ns late, another CPU      moved before alloc B
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.duplicates import same_event
from slabtrace.analysis.pairing.order import ByAddress
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Kind

LATE_NS = 10_000  # the longest time by which a free is reported after the next event at its address
MOST_COMPARISONS = 1 << 22  # pairs of events within LATE_NS; a stream with more has no working clock


class Moved(NamedTuple):
    """Frees, and the allocation that each was put before, as positions among the events."""

    free: Positions
    before: Positions


def put_late_frees_back(events: EventBatch, sites: Sites, sort: ByAddress) -> Moved:
    """Put late frees before the allocations that they follow in `sort`, in place.

    An allocation that moved back may be the first of another alloc, alloc, free: a few rounds at most.
    """
    place = _before_a_free(sort)
    moved = [Moved(place[:0], place[:0])]
    while len(place):
        place = place[_is_late(events, sites, sort, place)]
        moved.append(_exchange(sort, place))
        place = _next_before_a_free(sort, place)
    return Moved(*(np.concatenate(columns) for columns in zip(*moved, strict=True)))


def _before_a_free(sort: ByAddress) -> Positions:
    """Places of the second allocation of every alloc, alloc, free at one address."""
    middle = ~sort.starts[1:-1] & ~sort.starts[2:]
    middle &= ~sort.free[:-2] & ~sort.free[1:-1] & sort.free[2:]
    return np.flatnonzero(middle) + 1


def _exchange(sort: ByAddress, place: Positions) -> Moved:
    """Exchange the allocations at `place` with the frees behind them."""
    alloc, free = sort.index[place], sort.index[place + 1]
    sort.index[place], sort.index[place + 1] = free, alloc
    sort.free[place], sort.free[place + 1] = True, False
    return Moved(free, alloc)


def _next_before_a_free(sort: ByAddress, exchanged: Positions) -> Positions:
    """As _before_a_free, of those whose first allocation was just moved behind one `exchanged`."""
    place = exchanged[exchanged + 3 < len(sort.index)] + 2
    place = place[~sort.starts[place] & ~sort.starts[place + 1]]
    return place[~sort.free[place] & sort.free[place + 1]]


def in_new_order(order: Positions | None, moved: Moved, begin: int, size: int) -> Positions | None:
    """The order in time of `size` events, from position `begin` on, after the frees were `moved`.

    `order`: before that; None: as they are.
    """
    if not len(moved.free):
        return order
    order = np.arange(size) if order is None else order
    rank = np.empty(size, np.intp)
    rank[order] = np.arange(0, 2 * size, 2)
    rank[moved.free - begin] = rank[moved.before - begin] - 1
    return np.argsort(rank, kind="stable")


def quiet_cut(events: EventBatch, sites: Sites, until_ns: int) -> int:
    """The last position at which no late free is cut off from the event that it follows; 0 if there is none.

    `events`: all of the stream before `until_ns`.
    """
    ts_ns = events.ts_ns
    cut = int(np.searchsorted(ts_ns, until_ns - LATE_NS))
    while 0 < cut < len(ts_ns):
        begin, end = np.searchsorted(ts_ns, [ts_ns[cut] - LATE_NS, ts_ns[cut] + LATE_NS]).tolist()
        cut_off = _has_late_free(events.take(slice(begin, cut)), events.take(slice(cut, end)), sites)
        if not cut_off.any():
            break
        cut = int(np.searchsorted(ts_ns, ts_ns[begin + int(cut_off.argmax())]))
    return cut


def _has_late_free(before: EventBatch, after: EventBatch, sites: Sites) -> NDArray[np.bool_]:
    """Whether each allocation or page end in `before` may have a late free in `after`, shape (n,)."""
    found = np.zeros(before.size, np.bool_)
    after = after.take(np.flatnonzero(sites["kind"][after.site] == np.uint8(Kind.CACHE_FREE)))
    if before.size * after.size > MOST_COMPARISONS:
        return found
    page_end, free = sites.page_end[before.site], sites.free[before.site]
    same = (before.ptr[:, None] == after.ptr) & (before.cpu[:, None] != after.cpu) & ~free[:, None]
    within = after.ptr - before.ptr[:, None] < sites["bytes_alloc"][before.site][:, None]
    close = after.ts_ns - before.ts_ns[:, None] < LATE_NS
    found |= ((same | (within & page_end[:, None])) & close).any(axis=1)
    return found


def _is_late(events: EventBatch, sites: Sites, sort: ByAddress, place: Positions) -> NDArray[np.bool_]:
    """Whether a late free follows the allocation at each `place`, which follows another one."""
    first, alloc, free = (events.take(sort.index[place + step]) for step in (-1, 0, 1))
    late: NDArray[np.bool_] = sites["kind"][free.site] == np.uint8(Kind.CACHE_FREE)
    late &= (free.cpu != alloc.cpu) & (free.ts_ns - alloc.ts_ns < LATE_NS)
    late &= ~same_event(sites, first, alloc)
    return late
