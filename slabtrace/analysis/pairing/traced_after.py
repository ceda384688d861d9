# SPDX-License-Identifier: Apache-2.0
"""Kernels before 6.1 trace kmem_cache_free after the free, so its time is a little late.

By then another CPU may have allocated the address, or the page allocator have got its slab, with
an earlier time: alloc A, alloc B (another CPU), free.  Read as it stands, A's free was missed and
B is freed; in truth A was freed and B lives.  So a kmem_cache_free of another CPU within LATE_NS
after an allocation of a live address is put before it, and one within LATE_NS after its slab's end
was before that end (manifest: coverage.free_traced_after).  No such kernel preempts programs.
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

LATE_NS = 10_000  # the most that a free is traced after the next thing at its address
MOST_COMPARISONS = 1 << 22  # events within LATE_NS, by pairs; a stream with more has no clock


class Moved(NamedTuple):
    """Frees, and the allocation that each was put before, as positions among the events."""

    free: Positions
    before: Positions


def put_late_frees_back(events: EventBatch, sites: Sites, sort: ByAddress) -> Moved:
    """Put late frees before the allocations that they follow in `sort`, in place.

    Each exchange can make the next two events at the address such a pair: a few rounds at most.
    """
    middle = ~sort.starts[1:-1] & ~sort.starts[2:]
    middle &= ~sort.free[:-2] & ~sort.free[1:-1] & sort.free[2:]
    place = np.flatnonzero(middle) + 1
    moved = [Moved(place[:0], place[:0])]
    while len(place):
        place = place[_is_late(events, sites, sort, place)]
        alloc, free = sort.index[place], sort.index[place + 1]
        sort.index[place], sort.index[place + 1] = free, alloc
        sort.free[place], sort.free[place + 1] = True, False
        moved.append(Moved(free, alloc))
        place = place[place + 3 < len(sort.index)] + 2
        place = place[~sort.starts[place] & ~sort.starts[place + 1]]
        place = place[~sort.free[place] & sort.free[place + 1]]
    return Moved(*(np.concatenate(columns) for columns in zip(*moved, strict=True)))


def in_new_order(order: Positions | None, moved: Moved, begin: int, size: int) -> Positions | None:
    """`order` (of `size` events from position `begin` on; None: as they are) after `moved`."""
    if not len(moved.free):
        return order
    order = np.arange(size) if order is None else order
    rank = np.empty(size, np.intp)
    rank[order] = np.arange(0, 2 * size, 2)
    rank[moved.free - begin] = rank[moved.before - begin] - 1
    return np.argsort(rank, kind="stable")


def quiet_cut(events: EventBatch, sites: Sites, until_ns: int) -> int:
    """Where `events`, all there are before `until_ns`, can be cut without parting such a pair.

    The last such position, 0 if there is none.
    """
    ts_ns = events.ts_ns
    cut = int(np.searchsorted(ts_ns, until_ns - LATE_NS))
    while 0 < cut < len(ts_ns):
        begin, end = np.searchsorted(ts_ns, [ts_ns[cut] - LATE_NS, ts_ns[cut] + LATE_NS]).tolist()
        parted = _parted(events.take(slice(begin, cut)), events.take(slice(cut, end)), sites)
        if not parted.any():
            break
        cut = int(np.searchsorted(ts_ns, ts_ns[begin + int(parted.argmax())]))
    return cut


def _parted(before: EventBatch, after: EventBatch, sites: Sites) -> NDArray[np.bool_]:
    """Whether each of `before` may be the first of a pair whose free is in `after`, shape (n,)."""
    parted = np.zeros(before.size, np.bool_)
    after = after.take(np.flatnonzero(sites["kind"][after.site] == np.uint8(Kind.CACHE_FREE)))
    if before.size * after.size > MOST_COMPARISONS:
        return parted
    page_end, free = sites.page_end[before.site], sites.free[before.site]
    same = (before.ptr[:, None] == after.ptr) & (before.cpu[:, None] != after.cpu) & ~free[:, None]
    within = after.ptr - before.ptr[:, None] < sites["bytes_alloc"][before.site][:, None]
    close = after.ts_ns - before.ts_ns[:, None] < LATE_NS
    parted |= ((same | (within & page_end[:, None])) & close).any(axis=1)
    return parted


def _is_late(events: EventBatch, sites: Sites, sort: ByAddress, place: Positions) -> NDArray[np.bool_]:
    """Whether the allocation at each `place`, of a live address, is followed by a late free."""
    first, alloc, free = (events.take(sort.index[place + step]) for step in (-1, 0, 1))
    late: NDArray[np.bool_] = sites["kind"][free.site] == np.uint8(Kind.CACHE_FREE)
    late &= (free.cpu != alloc.cpu) & (free.ts_ns - alloc.ts_ns < LATE_NS)
    late &= ~same_event(sites, first, alloc)
    return late
