# SPDX-License-Identifier: Apache-2.0
"""The streaming Pairer: ordered events in; completed lifetimes out; the live objects in between.

tests/unit/reference.py does the same one event at a time, with dictionaries: read it first.  At one address,
in time order, an allocation and a free make a lifetime.  Of two allocations, the free between them was
missed; it is inferred.  Of two frees, the second is a double free, or the allocation between them was missed.
A free at an address not seen before is that of an object older than the recording.
Special cases have modules of their own: duplicates, traced_after, page_ends, slab_states.

Memory: 26 bytes for each live object (up to 54 beyond LONGEST_CHUNK), one chunk of events, 8 bytes for each
address ever freed, and where programs are preemptible the frees of the last second.

Example:

    time  event           what follows
       1  free  0x30      old free: its object is older than the recording
       2  alloc 0x10
       3  alloc 0x20
       4  free  0x10      lifetime from 2 to 4 (How.FREED)
       5  alloc 0x20      lifetime from 3 to 5 at most: its free was missed (How.INFERRED)
       6  free  0x10      second free: a double free, or an allocation of 0x10 was missed
       7  alloc 0x40
    live at the end: 0x20 (allocated at 5) and 0x40
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.address_set import AddressSet
from slabtrace.analysis.pairing.duplicates import COMPLETES, RecentFrees, completes, same_event
from slabtrace.analysis.pairing.live_table import LiveTable
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
from slabtrace.trace.manifest import Manifest

CHUNK_EVENTS = 1 << 17  # events of a chunk at least: with fewer, its fixed cost shows
LONGEST_CHUNK = 1 << 21  # events of a chunk at most, but for those of one time: 130 MiB of work
MOST_SIMULTANEOUS = 1 << 20  # events of one time kept together; a stream with more has no working clock
NONE = EventBatch(
    np.empty(0, np.int64),
    np.empty(0, np.uint64),
    np.empty(0, np.uint32),
    np.empty(0, np.uint32),
    np.empty(0, np.uint16),
)

NO_POSITIONS = np.empty(0, np.intp)


class Pairer:
    """Pairs allocations with frees; the module's docstring has the rules.

    `sites` may grow between calls (Sites.extend), but must know the sites of all events fed.
    `free_traced_after`: whether the kernel reports kmem_cache_free late (traced_after.py).
    `slabs`: which objects the slabs listed as free at the end of the recording.
    `preemptible`: whether tasks may be preempted between a program and its twin (duplicates.py).
    The last `waiting` events are not in `live` yet; after `flush` they are.
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
        self._recently = NONE  # live objects, sorted with every chunk; by address
        self._long_ago = LiveTable(NONE)  # the others, where there are more than LONGEST_CHUNK
        self.waiting = 0
        self._uncompleted = NONE  # the last event of their addresses: frees to be completed
        self._freed = AddressSet()
        self._recent = RecentFrees(preemptible)
        self._pending: list[EventBatch] = []

    @classmethod
    def for_trace(cls, manifest: Manifest, sites: Sites, slabs: SlabStates | None = None) -> Pairer:
        """A Pairer for the events of a recording, by what its manifest says of the kernel's programs."""
        coverage = manifest.coverage
        return cls(
            sites,
            free_traced_after=coverage.free_traced_after,
            slabs=slabs,
            preemptible=coverage.programs_preemptible,
        )

    @property
    def live(self) -> EventBatch:
        """The allocations not yet freed, sorted by ptr.  Costs a copy where there are very many."""
        if self._long_ago.live:
            every = concatenate([self._long_ago.objects(), self._recently])
            self._recently = every.take(np.argsort(every.ptr, kind="stable"))
            self._long_ago = LiveTable(NONE)
        return self._recently

    def feed(self, batch: EventBatch) -> Paired | None:
        """Take the next events in time order; returns a paired chunk once there are enough of them.

        The arrays are kept until they are paired, and not copied: do not overwrite them.
        """
        if not batch.size:
            return None
        ready = self._take_chunk(batch)
        self._pending.append(batch)
        self.waiting += batch.size
        return self._pair(ready) if ready else None

    @property
    def uncompleted(self) -> EventBatch:
        """Frees that may be reported again (COMPLETES), each the last event of its address."""
        return self._uncompleted

    def expect(self, uncompleted: EventBatch) -> None:
        """Before the first event: such frees of an earlier part of a series, which may be completed now."""
        self._uncompleted = uncompleted

    def flush(self) -> Paired | None:
        """Pair the events that still wait; None if there are none."""
        chunk, self._pending, self.waiting = self._pending, [], 0
        return self._pair(chunk) if chunk else None

    def apply_slab_states(self) -> Paired | None:
        """After the last event: end the live objects that are free by their slabs; None if none is."""
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
        self._recently = self.live.take(np.delete(np.arange(self.live.size), alloc))
        none = Strays(NO_POSITIONS, NO_POSITIONS, NO_POSITIONS, NO_POSITIONS)
        # it has no events of its own, so they would begin behind the last
        return Paired(events, events.size, site, free, None, alloc, end, how, *none)

    def freed(self, ptr: UInt64) -> NDArray[np.bool_]:
        """Whether an object was ever freed at each address, shape (n,)."""
        return self._freed.contains(ptr)

    def _take_chunk(self, following: EventBatch) -> list[EventBatch]:
        """The pending events that are earlier than `following`, once there are enough; else none.

        Events of one time stay together, because frees sort before the allocations of their time.
        A chunk is as long as the live set (within limits), so sorting both costs twice a chunk at most.
        """
        live = self._long_ago.live + self._recently.size
        enough = max(self.chunk_events, min(live, LONGEST_CHUNK))
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
        """Pair a chunk, and bring the live set to its end.

        Live objects are sorted together with the chunk's events, as if allocated at its begin: one sort
        joins all.  Of more than LONGEST_CHUNK only those are taken that the chunk concerns.  `begin` is the
        position of the first event of the chunk itself.
        """
        touched = self._touched(chunk)
        events = concatenate([touched, self._recently, self._uncompleted, *chunk])
        begin = touched.size + self._recently.size + self._uncompleted.size
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
        self._remember(events, sort, closed)
        return Paired(events, begin, site, free, order, alloc, end, how, *strays)

    def _touched(self, chunk: list[EventBatch]) -> EventBatch:
        """The objects from long ago that the chunk has an event of, or the end of their slab."""
        if not self._long_ago.live:
            return NONE
        ptr, site = (np.concatenate([getattr(each, name) for each in chunk]) for name in ("ptr", "site"))
        ends = np.flatnonzero(self.sites.page_end[site])
        return self._long_ago.take(ptr, ptr[ends], self.sites["bytes_alloc"][site[ends]].astype(np.uint64))

    def _page_ends(self, site: Positions, begin: int) -> Positions:
        """Positions of the events that are ends of slabs."""
        if not self.sites.page_end.any():
            return NO_POSITIONS
        return np.flatnonzero(self.sites.page_end.take(site[begin:])) + begin

    def _lifetimes(
        self, events: EventBatch, sort: ByAddress, closed: Closed
    ) -> tuple[Positions, Positions, NDArray[np.uint8]]:
        """(alloc, end, how) of all that ended: with the next event at their address, or with their slab."""
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
        """Frees at addresses where no object was live."""
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

    def _remember(self, events: EventBatch, sort: ByAddress, closed: Closed) -> None:
        """Keep what the next chunk needs.  The last event at each address says whether it is live or free."""
        last = np.append(sort.starts[1:], True)[: len(sort.starts)]
        free = sort.free.copy()
        free[closed.place] = True
        freed = np.flatnonzero(last & free)
        self._freed.add(events.ptr[sort.index[freed]])
        self._recently = events.take(sort.index[np.flatnonzero(last & ~free)])
        if self._recently.size > LONGEST_CHUNK:
            self._long_ago.absorb(self._recently)
            self._recently = NONE
        self._recent.keep(events, sort.index[freed], int(events.ts_ns[-1]))
        frees = sort.index[freed[sort.free[freed]]]
        to_complete = np.isin(self.sites["kind"], list(COMPLETES))
        if to_complete.any():
            self._uncompleted = events.take(frees[to_complete[events.site[frees]]])


def _freed_after(sort: ByAddress, closed: Closed) -> Positions:
    """Frees of objects that were free already, because their slab had ended."""
    following = closed.place + 1
    following = following[following < len(sort.index)]
    following = following[~sort.starts[following] & sort.free[following]]
    return sort.index[following]


def _sorted(
    events: EventBatch, free: NDArray[np.bool_], page_ends: Positions, order: Positions | None, begin: int
) -> ByAddress:
    """`events` without `page_ends` by address and time.

    `order`: the order in time of the events from `begin` on; None: they are in order.
    """
    if order is None:
        return by_address(events.ptr, free, page_ends)
    ordered = np.concatenate([np.arange(begin, dtype=np.intp), order + begin])
    without = np.flatnonzero(np.isin(ordered, page_ends))
    sort = by_address(events.ptr[ordered], free[ordered], without)
    sort.index = ordered[sort.index]
    return sort
