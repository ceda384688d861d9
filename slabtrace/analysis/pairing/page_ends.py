# SPDX-License-Identifier: Apache-2.0
"""The end of a slab: when its memory goes back to the page allocator, nothing lives there any more.

Every object allocated there before that moment, and of whose address nothing was seen until after
it, was freed unseen, between its allocation and the end of the slab.

A slab of 2^k pages begins at a multiple of its size, in physical memory and (where the kernel maps
it) in virtual: so an address and a size give the slab by division.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.order import ByAddress
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Kind


class Closed(NamedTuple):
    """Allocations by their `place` in a ByAddress, ascending, and the page end that closed each."""

    place: Positions
    end: Positions  # position among the events


NOTHING = Closed(np.empty(0, np.intp), np.empty(0, np.intp))


def closed_by_page_end(
    events: EventBatch, sites: Sites, sort: ByAddress, page_ends: Positions, late_ns: int = 0
) -> Closed:
    """The allocations that the page ends at the positions `page_ends` of `events` prove freed.

    `sort`: all other events by address.  A kmem_cache_free less than `late_ns` after the end is
    none after it (traced_after.py).
    """
    size = sites["bytes_alloc"][events.site[page_ends]].astype(np.uint64)
    found = [NOTHING]
    for each in np.unique(size[size > 0]):
        ends = page_ends[size == each]
        found.append(_first_ends(events, sort, ends[events.ptr[ends] % each == 0], each))
    place, end = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.lexsort((end, place))  # slabs of several sizes may have been there, and end at one time
    place, end = place[order], end[order]
    first = np.append(True, place[1:] != place[:-1])[: len(place)]
    return _still_live(events, sites, sort, Closed(place[first], end[first]), late_ns)


def _first_ends(events: EventBatch, sort: ByAddress, ends: Positions, size: np.uint64) -> Closed:
    """Every allocation in the slabs of `size` bytes that end at `ends`, with the first end after it."""
    slabs, slab_of_end = np.unique(events.ptr[ends] // size, return_inverse=True)
    low = sort.find(events.ptr, slabs * size)
    high = sort.find(events.ptr, slabs * size + (size - np.uint64(1)))  # the last byte begins no object
    slab = np.repeat(np.arange(len(slabs)), high - low)
    place = np.arange(len(slab)) - np.repeat(np.cumsum(high - low) - high, high - low)
    alloc = np.flatnonzero(~sort.free[place])
    slab, place = slab[alloc], place[alloc]
    times = np.unique(events.ts_ns[ends])
    keys = slab_of_end * (len(times) + 1) + np.searchsorted(times, events.ts_ns[ends])
    order = np.argsort(keys, kind="stable")
    after = np.searchsorted(times, events.ts_ns[sort.index[place]], side="right")  # strictly later
    at = np.searchsorted(keys[order], slab * (len(times) + 1) + after)
    some = np.flatnonzero(at < len(ends))
    some = some[slab_of_end[order[at[some]]] == slab[some]]
    return Closed(place[some], ends[order[at[some]]])


def _still_live(events: EventBatch, sites: Sites, sort: ByAddress, closed: Closed, late_ns: int) -> Closed:
    """Without those that were freed, or whose address was allocated again, until their page's end."""
    following = np.minimum(closed.place + 1, len(sort.index) - 1)
    last = (closed.place + 1 == len(sort.index)) | sort.starts[following]
    then = events.take(sort.index[following])
    after_ns = then.ts_ns - events.ts_ns[closed.end]
    late = (sites["kind"][then.site] == np.uint8(Kind.CACHE_FREE)) & (after_ns < late_ns)
    live = np.flatnonzero(last | ((after_ns > 0) & ~late))
    return Closed(closed.place[live], closed.end[live])
