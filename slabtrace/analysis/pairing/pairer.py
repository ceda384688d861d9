# SPDX-License-Identifier: Apache-2.0
"""The streaming Pairer: ordered events in, completed lifetimes out, the live set in between.

The same code runs inside the recorder and over a recorded trace.  How the stream is cut into
batches changes nothing.  Its memory: the live set (26 bytes an object), one chunk of events, and
8 bytes for each address ever seen freed (so that an old object's free is told from a second free), and
where programs are preemptible the frees of the last second (26 bytes each).

At one address, in time order: an allocation then a free is a lifetime.  Two allocations: the
free between them was missed; so it was if the slab ended (page_ends.py).  Two frees: a double free,
or the allocation between them was missed.  A free at an address not seen before: its object is
older than the recording.  Several records of one event (duplicates.py) are none of these.
At the very end the slabs themselves may tell what else is free (slab_states.py).

Live objects are sorted together with the events of a chunk, as if allocated at its begin: one
sort joins all.  A chunk is as long as the live set, within limits, so that costs the same again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.address_set import AddressSet
from slabtrace.analysis.pairing.duplicates import COMPLETES, RecentFrees, completes, same_event
from slabtrace.analysis.pairing.order import ByAddress, by_address, time_order
from slabtrace.analysis.pairing.page_ends import NOTHING, Closed, closed_by_page_end
from slabtrace.analysis.pairing.paired import How, Paired, Positions, Strays
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.pairing.traced_after import (
    LATE_NS,
    in_new_order,
    put_late_frees_back,
    quiet_cut,
)
from slabtrace.trace.format.batch import EventBatch, UInt64, concatenate

CHUNK_EVENTS = 1 << 17  # fewest events worth a sort: below, the fixed cost of a chunk shows
LONGEST_CHUNK = 1 << 21  # most events that a large live set makes a chunk wait for: 130 MiB of work
MOST_SIMULTANEOUS = 1 << 20  # events of one time that are kept together; a stream with more has no clock
NONE = EventBatch(
    np.empty(0, np.int64),
    np.empty(0, np.uint64),
    np.empty(0, np.uint32),
    np.empty(0, np.uint32),
    np.empty(0, np.uint16),
)

NO_POSITIONS = np.empty(0, np.intp)


class Pairer:
    """Pairs allocations with frees; see the module's text for the rules.

    `sites` may grow between calls (Sites.extend): it must know the sites of all events fed.
    `free_traced_after`: the kernel traces kmem_cache_free late (traced_after.py).
    `slabs`: what the slabs said at the end of the recording.
    `preemptible`: tasks may be preempted between a program and its twin (duplicates.py).
    `live`: the allocations not yet freed, sorted by ptr.  It lags by the `waiting` events that
    are not yet paired; after `flush` it is exact.
    """

    def __init__(
        self,
        sites: Sites,
        chunk_events: int = CHUNK_EVENTS,
        free_traced_after: bool = False,
        slabs: SlabStates | None = None,
        preemptible: bool = False,
    ) -> None:
        self.sites = sites
        self._slabs = slabs
        self._late_frees = free_traced_after
        self._preemptible = preemptible
        self.chunk_events = chunk_events
        self.live = NONE
        self.waiting = 0
        self._completing = NONE  # frees that go on (kfree_rcu), the last that was seen of their addresses
        self._freed = AddressSet()
        self._recent = RecentFrees(preemptible)
        self._pending: list[EventBatch] = []

    def feed(self, batch: EventBatch) -> Paired | None:
        """Take the next events in time order; a paired chunk once enough are together.

        Arrays are kept, not copied, until they are paired: hand over what nobody overwrites.
        """
        if not batch.size:
            return None
        ready = self._take_chunk(batch)
        self._pending.append(batch)
        self.waiting += batch.size
        return self._pair(ready) if ready else None

    def flush(self) -> Paired | None:
        """Pair what is still waiting; None if nothing is."""
        chunk, self._pending, self.waiting = self._pending, [], 0
        return self._pair(chunk) if chunk else None

    def apply_slab_states(self) -> Paired | None:
        """After the last event: end the lifetimes of what is live by the events, and free in its slab."""
        if self._slabs is None:
            return None
        alloc, when_ns = self._slabs.free_at_last(self.live)
        if not len(alloc):
            return None
        ends = self.live.take(alloc)._replace(ts_ns=when_ns)
        events = concatenate([self.live, ends])
        site = events.site.astype(np.intp)
        end = np.arange(self.live.size, events.size)
        how = np.full(len(alloc), How.FOUND_FREE, np.uint8)
        free = np.arange(events.size) >= self.live.size
        self.live = self.live.take(np.delete(np.arange(self.live.size), alloc))
        none = Strays(NO_POSITIONS, NO_POSITIONS, NO_POSITIONS, NO_POSITIONS)
        # the chunk has no events of its own: it begins behind the last
        return Paired(events, events.size, site, free, None, alloc, end, how, *none)

    def freed(self, ptr: UInt64) -> NDArray[np.bool_]:
        """Whether the events have ever freed an object at each address, shape (n,)."""
        return self._freed.contains(ptr)

    def _take_chunk(self, following: EventBatch) -> list[EventBatch]:
        """The pending events, if enough, less those not earlier than `following` begins.

        Events of one time stay together: a free sorts before an allocation of its time.
        """
        enough = max(self.chunk_events, min(self.live.size, LONGEST_CHUNK))
        if self.waiting < enough:
            return []
        if self._late_frees:
            self._pending = [concatenate(self._pending)]
        last, until_ns = self._pending[-1], int(following.ts_ns[0])
        cut = int(np.searchsorted(last.ts_ns, until_ns))
        if self._late_frees:
            cut = quiet_cut(last, self.sites, until_ns)
        if cut == 0 and self.waiting < enough + MOST_SIMULTANEOUS:
            return []
        cut = cut or last.size
        chunk = [*self._pending[:-1], last.take(slice(cut))]
        self._pending = [last.take(slice(cut, None))] if cut < last.size else []
        self.waiting = last.size - cut
        return chunk

    def _pair(self, chunk: list[EventBatch]) -> Paired:
        """Pair a chunk, and bring the live set to its end."""
        events = concatenate([self.live, self._completing, *chunk])
        begin = self.live.size + self._completing.size
        site = events.site.astype(np.intp)
        free = self.sites.free.take(site)
        page_ends = self._page_ends(site, begin)
        order = time_order(events.ts_ns[begin:], events.ptr[begin:], free[begin:])
        sort = _sorted(events, free, page_ends, order, begin)
        late_ns = LATE_NS if self._late_frees else 0
        if self._late_frees:
            moved = put_late_frees_back(events, self.sites, sort)
            order = in_new_order(order, moved, begin, len(site) - begin)
        closed = NOTHING
        if len(page_ends):
            closed = closed_by_page_end(events, self.sites, sort, page_ends, late_ns)
        alloc, end, how = self._lifetimes(events, sort, closed)
        strays = self._strays(events, sort, closed, begin)
        self._carry(events, sort, closed)
        return Paired(events, begin, site, free, order, alloc, end, how, *strays)

    def _page_ends(self, site: Positions, begin: int) -> Positions:
        """Positions of the events that are ends of pages."""
        if not self.sites.page_end.any():
            return NO_POSITIONS
        return np.flatnonzero(self.sites.page_end.take(site[begin:])) + begin

    def _lifetimes(
        self, events: EventBatch, sort: ByAddress, closed: Closed
    ) -> tuple[Positions, Positions, NDArray[np.uint8]]:
        """(alloc, end, how) of all that ended: by what follows at its address, or with its page."""
        ends = ~sort.starts
        ends[1:] &= ~sort.free[:-1]
        following = closed.place + 1
        ends[following[following < len(ends)]] = False
        place = np.flatnonzero(ends)
        alloc, end = sort.index[place - 1], sort.index[place]
        how = np.full(len(place), How.FREED, np.uint8)
        unfreed = np.flatnonzero(~sort.free[place])
        if len(unfreed):
            twice = self._same(events.take(alloc[unfreed]), events.take(end[unfreed]))
            how[unfreed] = np.where(twice, How.DUPLICATE, How.INFERRED)
        if not len(closed.place):
            return alloc, end, how
        with_page = np.full(len(closed.place), How.PAGE_END, np.uint8)
        return (
            np.concatenate([alloc, sort.index[closed.place]]),
            np.concatenate([end, closed.end]),
            np.concatenate([how, with_page]),
        )

    def _strays(self, events: EventBatch, sort: ByAddress, closed: Closed, begin: int) -> Strays:
        """Frees of nothing live."""
        leading = sort.index[np.flatnonzero(sort.starts & sort.free)]
        leading = leading[leading >= begin]
        freed_before = self._freed.contains(events.ptr[leading])
        again = leading[freed_before]
        follows = ~sort.starts
        follows[1:] &= sort.free[:-1] & sort.free[1:]
        place = np.flatnonzero(follows)
        first, within = events.take(sort.index[place - 1]), sort.index[place]
        twice = np.concatenate(
            [
                self._recent.recorded_twice(self.sites, events.take(again)),
                self._same(first, events.take(within)),
            ]
        )
        frees, late = np.concatenate([again, within]), np.zeros(len(twice), np.bool_)
        late[len(again) :] = completes(self.sites, first, events.take(within))
        second = np.concatenate([frees[~twice & ~late], _freed_after(sort, closed)])
        return Strays(leading[~freed_before], second, frees[twice], frees[late & ~twice])

    def _same(self, first: EventBatch, second: EventBatch) -> NDArray[np.bool_]:
        return same_event(self.sites, first, second, self._preemptible)

    def _carry(self, events: EventBatch, sort: ByAddress, closed: Closed) -> None:
        """What the next chunk must know; the last event at each address decides: live, or freed."""
        last = np.append(sort.starts[1:], True)[: len(sort.starts)]
        free = sort.free.copy()
        free[closed.place] = True
        freed = np.flatnonzero(last & free)
        self._freed.add(events.ptr[sort.index[freed]])
        self.live = events.take(sort.index[np.flatnonzero(last & ~free)])
        self._recent.keep(events, sort.index[freed], int(events.ts_ns[-1]))
        frees = sort.index[freed[sort.free[freed]]]
        goes_on = np.isin(self.sites["kind"], list(COMPLETES))
        if goes_on.any():
            self._completing = events.take(frees[goes_on[events.site[frees]]])


def _freed_after(sort: ByAddress, closed: Closed) -> Positions:
    """Frees of what the end of its page had proved freed."""
    following = closed.place + 1
    following = following[following < len(sort.index)]
    following = following[~sort.starts[following] & sort.free[following]]
    return sort.index[following]


def _sorted(
    events: EventBatch, free: NDArray[np.bool_], page_ends: Positions, order: Positions | None, begin: int
) -> ByAddress:
    """`events` without `page_ends` by address; those from `begin` on first brought into `order`."""
    if order is None:
        return by_address(events.ptr, free, page_ends)
    ordered = np.concatenate([np.arange(begin, dtype=np.intp), order + begin])
    without = np.flatnonzero(np.isin(ordered, page_ends))
    sort = by_address(events.ptr[ordered], free[ordered], without)
    sort.index = ordered[sort.index]
    return sort
