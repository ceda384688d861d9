# SPDX-License-Identifier: Apache-2.0
"""The end of a slab: when its memory goes back to the page allocator, no object is left in it.

An object allocated there before is then free, even if no free of it was seen.  Its free was missed: it
happened between the allocation and the end of the slab.  An object whose free comes later, or whose address
was allocated again before the end, is not concerned.

A slab of 2^k pages begins at a multiple of its size, in physical memory and in the kernel's mapping of it.
So the slab of an address is the address divided by the size of the slab.

Example: slabs of 4096 bytes.

    time  event                       what follows
       1  alloc 0x1000
       2  alloc 0x1040
       3  alloc 0x2000                in the slab 0x2000, which does not end
       4  free  0x1040                0x1040: freed at 4
       5  end of the slab 0x1000      0x1000: its free was missed between 1 and 5 (How.PAGE_END)
       6  alloc 0x1000                a new object: live
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.order import ByAddress
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.trace.format.batch import EventBatch, UInt64
from slabtrace.trace.format.schema import Kind


class Closed(NamedTuple):
    """Allocations by their `place` in a ByAddress, ascending, and the end of the slab of each."""

    place: Positions
    end: Positions  # position among the events


NOTHING = Closed(np.empty(0, np.intp), np.empty(0, np.intp))


def closed_by_page_end(
    events: EventBatch, sites: Sites, sort: ByAddress, page_ends: Positions, late_ns: int = 0
) -> Closed:
    """The allocations whose free was missed, because their slab ended at one of `page_ends`.

    `page_ends`: positions of `events`.  `sort`: all other events by address.  A kmem_cache_free less than
    `late_ns` after the end happened before it (traced_after.py).
    """
    size = sites["bytes_alloc"][events.site[page_ends]].astype(np.uint64)
    found = [NOTHING]
    for each in np.unique(size[size > 0]):
        ends = page_ends[size == each]
        found.append(_first_ends(events, sort, ends[events.ptr[ends] % each == 0], each))
    place, end = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.lexsort((end, place))  # an address may have been in slabs of several sizes
    place, end = place[order], end[order]
    first = np.append(True, place[1:] != place[:-1])[: len(place)]
    return _still_live(events, sites, sort, Closed(place[first], end[first]), late_ns)


def _first_ends(events: EventBatch, sort: ByAddress, ends: Positions, size: np.uint64) -> Closed:
    """Every allocation in the slabs of `size` bytes that end at `ends`, with the first end after it."""
    slabs, slab_of_end = np.unique(events.ptr[ends] // size, return_inverse=True)
    place, slab = _allocations_in(events, sort, slabs, size)
    times = events.ts_ns[sort.index[place]]
    nth = _first_later(slab_of_end, events.ts_ns[ends], slab, times)
    some = np.flatnonzero(nth >= 0)
    return Closed(place[some], ends[nth[some]])


def _allocations_in(
    events: EventBatch, sort: ByAddress, slabs: UInt64, size: np.uint64
) -> tuple[Positions, Positions]:
    """(place in `sort`, index in `slabs`) of every allocation in the slabs, which have `size` bytes.

    `slabs`: their addresses divided by `size`, ascending.
    """
    low = sort.find(events.ptr, slabs * size)
    high = sort.find(events.ptr, slabs * size + (size - np.uint64(1)))  # no object begins at the last byte
    count = high - low
    slab = np.repeat(np.arange(len(slabs)), count)
    place = np.arange(len(slab)) - np.repeat(np.cumsum(count) - high, count)
    alloc = np.flatnonzero(~sort.free[place])
    return place[alloc], slab[alloc]


def _first_later(
    slab_of_end: Positions, end_ns: NDArray[np.int64], slab: Positions, ts_ns: NDArray[np.int64]
) -> Positions:
    """For each (slab, time): the first end of that slab that is strictly later, -1 if there is none.

    One searchsorted finds all: a slab and the rank of a time make one integer, `slab * ranks + rank`.
    """
    times = np.unique(end_ns)
    ranks = len(times) + 1
    keys = slab_of_end * ranks + np.searchsorted(times, end_ns)
    order = np.argsort(keys, kind="stable")
    wanted = slab * ranks + np.searchsorted(times, ts_ns, side="right")
    at = np.searchsorted(keys[order], wanted)
    found = np.append(order, -1)[at]
    return np.where(slab_of_end[found] == slab, found, -1)


def _still_live(events: EventBatch, sites: Sites, sort: ByAddress, closed: Closed, late_ns: int) -> Closed:
    """Those of `closed` at whose address nothing happened between the allocation and the end of the slab."""
    following = np.minimum(closed.place + 1, len(sort.index) - 1)
    last = (closed.place + 1 == len(sort.index)) | sort.starts[following]
    then = events.take(sort.index[following])
    after_ns = then.ts_ns - events.ts_ns[closed.end]
    late = (sites["kind"][then.site] == np.uint8(Kind.CACHE_FREE)) & (after_ns < late_ns)
    live = np.flatnonzero(last | ((after_ns > 0) & ~late))
    return Closed(closed.place[live], closed.end[live])
