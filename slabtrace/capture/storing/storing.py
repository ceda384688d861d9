# SPDX-License-Identifier: Apache-2.0
"""The storing thread: orders batches, completes their side tables, and writes them.

It is a thread of its own, so that neither compression nor a slow disk delays the draining of the rings.
At most QUEUE batches wait between the consumer and this thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from slabtrace.capture.process.priority import raise_priority
from slabtrace.capture.process.privileges import reduce
from slabtrace.capture.session import Session
from slabtrace.capture.slabs.touched import TouchedPages
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.capture.storing.site_numbers import SiteNumbers, SiteRows
from slabtrace.capture.stream.intake import OtherRows, TaskName
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.ordering import TimeMerge
from slabtrace.capture.stream.processes import ProcessSlots
from slabtrace.capture.stream.stacks import StackReader
from slabtrace.trace.format.batch import EventBatch, UInt64
from slabtrace.trace.format.schema import FREE_BIT, LARGEST_ORDER, PAGES_OF_ORDER, Kind
from slabtrace.trace.writing.sink import Sink

QUEUE = 32  # batches of 131,072 events, 26 bytes each: 110 MB at most
_SITE_FIELDS = (
    "kind",
    "flags",
    "call_site",
    "cache",
    "bytes_req",
    "bytes_alloc",
    "gfp_flags",
    "node",
    "stack_id",
)

# Bits for the events of a site.  _IN_SLAB: an allocation from a slab, and not a large kmalloc.
_ALLOC, _FREE, _IN_SLAB, _UNWANTED = 1, 2, 4, 8


class Observer(Protocol):
    """Sees what is stored.  Its methods run in the storing thread, so they must be quick."""

    def sites(self, rows: Mapping[str, Any]) -> None:
        """The next sites, columns as in schema.SITES."""

    def events(self, batch: EventBatch) -> None:
        """The next events, run by run (EventBatch).  `sites` was called with their sites before."""

    def lost(self, until_ns: int) -> None:
        """Some events from before this time are missing."""


class Storing:
    """Takes batches in the order they were drained.  `check` raises again what failed in the thread."""

    def __init__(self, session: Session, writer: Sink, observer: Observer | None) -> None:
        self._session = session
        self._writer = writer
        self._observer = observer
        self._merge = TimeMerge()
        self._stacks = StackReader(session.programs) if session.options.stacks != "none" else None
        self._numbers = SiteNumbers()
        self._sites = 0
        self._of_site = np.zeros(0, dtype=np.uint8)  # the bits below
        self._some_unwanted = False
        self._processes = ProcessSlots()
        self.touched = TouchedPages()
        self._known_symbols: set[int] = set()
        self._known_caches: dict[int, tuple[SlabCache, list[str]]] = {}  # by identity, with aliases
        self.events = self.allocs = self.frees = 0
        self.span_ns: tuple[int, int | None] = (0, None)  # events outside are left out
        self._error: BaseException | None = None
        self._queue: queue.Queue[Callable[[], object] | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._run, name="slabtrace-store", daemon=True)
        self._thread.start()

    @property
    def late(self) -> int:
        """Events stored out of order so far."""
        return self._merge.late

    def batch(
        self,
        batch: EventBatch,
        watermark_ns: int | None,
        sites: SiteRows,
        others: OtherRows,
    ) -> None:
        """Store a batch with all that its events refer to.  Blocks while the queue is full."""
        self._put(lambda: self._store(batch, watermark_ns, sites, others))

    def counted(self, columns: Mapping[str, Any]) -> None:
        """Store rows of counted.arrow, with the intake's numbers of sites."""
        self._put(lambda: self._store_counted(columns))

    def look_again(self) -> None:
        """Look which slab caches there are: some may have been made, or have got another name."""
        self._put(self._look_again)

    def lost(self, until_ns: int) -> None:
        """Report to the observer that events before `until_ns` are missing.  Call it before `batch`."""
        if (observer := self._observer) is not None:
            self._put(lambda: observer.lost(until_ns))

    def rows(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Store rows of a side table."""
        self._put(lambda: self._writer.rows(table, columns))

    def caches(self, caches: list[SlabCache]) -> None:
        """Store caches that the session found."""
        self._put(lambda: self._store_caches(caches))

    def call(self, action: Callable[[], object]) -> None:
        """Run `action` in the storing thread, between two batches."""
        self._put(action)

    def finish(self) -> None:
        """Wait until everything is stored.  Raises what failed."""
        if self._thread.is_alive():
            self._put(lambda: self._store_processes([], last=True))
            self._queue.put(None)
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what failed in the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def _put(self, action: Callable[[], object]) -> None:
        if self._error is None:
            self._queue.put(action)

    def _run(self) -> None:
        raise_priority()
        reduce()
        while (action := self._queue.get()) is not None:
            if self._error is not None:
                continue  # keep the queue moving, so that nobody waits for ever
            try:
                action()
            except BaseException as error:
                self._error = error

    def _store(
        self,
        batch: EventBatch,
        watermark_ns: int | None,
        sites: SiteRows,
        others: OtherRows,
    ) -> None:
        self._store_tasks(others.names, others.unnamed)
        self._store_processes(others.processes)
        for end in others.cache_ends:
            self._numbers.ended(end.ts_ns, end.address)
            if (unread := self._session.caches.ended(end.address, end.ts_ns, end.name)) is not None:
                self._store_caches([unread])
        self._numbers.add(sites)
        released = self._within(self._merge.merge(batch, watermark_ns))
        released = released._replace(site=self._numbers.of(released.site, released.ts_ns))
        self._store_new_sites()
        what = self._of_site[released.site]
        if self._some_unwanted and (unwanted := what & _UNWANTED != 0).any():
            released, what = released.take(~unwanted), what[~unwanted]
        if released.size:
            self._writer.events(released)
            self.events += released.size
            self.allocs += int(np.count_nonzero(what & _ALLOC))
            self.frees += int(np.count_nonzero(what & _FREE))
            self.touched.add(released.ptr[what & _IN_SLAB != 0])
            if self._observer is not None:
                self._observer.events(released)

    def _within(self, released: EventBatch) -> EventBatch:
        """Only what happened while every program was attached."""
        begin, end = self.span_ns
        if not released.size:
            return released
        if released.ts_ns.min() >= begin and (end is None or released.ts_ns.max() < end):
            return released
        within = released.ts_ns >= begin
        return released.take(within if end is None else within & (released.ts_ns < end))

    def touch(self, live: UInt64) -> None:
        """Before a slab check: also mark the pages of `live` objects and of events not stored yet."""
        self.touched.add(live)
        for run in self._merge.waiting:
            self.touched.add(run.ptr[self._of_site[self._numbers.newest(run.site)] & _IN_SLAB != 0])

    def _store_tasks(self, names: list[TaskName], unnamed: list[TaskName]) -> None:
        rows = names + [name._replace(comm=self._session.pids.comm(name.tid)) for name in unnamed]
        rows.sort()
        columns = {field: [getattr(row, field) for row in rows] for field in TaskName._fields}
        self._writer.rows("tasks", columns)

    def _store_processes(self, slots: list[Rows], last: bool = False) -> None:
        processes, cgroups = self._processes.take(slots, last)
        for table, columns in (("processes", processes), ("cgroups", cgroups)):
            if columns["ts_ns"]:
                self._writer.rows(table, columns)

    def _store_counted(self, columns: Mapping[str, Any]) -> None:
        site = self._numbers.of(columns["site"], columns["begin_ns"])
        self._store_new_sites()
        self._writer.rows("counted", {**columns, "site": site})

    def _look_again(self) -> None:
        ended, caches = self._session.caches.look_again(self._session.sees_caches_end)
        for address in ended:
            self._numbers.ended(time.monotonic_ns(), address)
        self._store_caches(caches)

    def _store_new_sites(self) -> None:
        if (sites := self._numbers.take_new()) is not None:
            self._store_sites(sites)

    def _store_sites(self, sites: SiteRows) -> None:
        self._fill_sizes(sites)
        self._store_new_stacks(sites)
        self._store_symbols(sites["call_site"].tolist())
        columns = {name: np.ascontiguousarray(sites[name]) for name in _SITE_FIELDS}
        columns["site"] = np.arange(self._sites, self._sites + len(sites), dtype=np.uint32)
        self._writer.rows("sites", columns)
        if self._observer is not None:
            self._observer.sites(columns)
        self._sites += len(sites)
        is_free, is_event = sites["kind"] & FREE_BIT != 0, sites["kind"] != Kind.PAGE_END
        caches = self._session.caches
        unwanted = [not caches.wanted(caches.at(cache)) for cache in sites["cache"].tolist()]
        self._some_unwanted |= any(unwanted)
        in_slab = sites["cache"] > PAGES_OF_ORDER + LARGEST_ORDER  # below: no cache, or the order of pages
        bits = np.where(is_free, _FREE * is_event, _ALLOC + _IN_SLAB * in_slab)
        of_site = (bits + _UNWANTED * np.array(unwanted)).astype(np.uint8)
        self._of_site = np.concatenate([self._of_site, of_site])

    def _fill_sizes(self, sites: SiteRows) -> None:
        """Fill in the sizes of allocations that only name their cache (kmem_cache_alloc from 6.1, bulk)."""
        for i in np.flatnonzero(sites["cache"] > PAGES_OF_ORDER + LARGEST_ORDER).tolist():
            cache = self._session.caches.at(int(sites["cache"][i]))
            if cache is None:
                continue
            self._store_caches([cache])
            if not sites["kind"][i] & FREE_BIT and not sites["bytes_alloc"][i]:
                sites["bytes_req"][i] = sites["bytes_req"][i] or cache.object_size
                sites["bytes_alloc"][i] = cache.size

    def _store_caches(self, caches: list[SlabCache]) -> None:
        aliases = self._session.caches.aliases
        rows = {cache.identity: (cache, aliases.get(cache.name, [])) for cache in caches}
        rows = {cache: row for cache, row in rows.items() if self._known_caches.get(cache) != row}
        if not rows:
            return  # nearly always: this is called for every site
        self._known_caches.update(rows)
        new = [cache for cache, _ in rows.values()]
        columns = {
            "cache": [c.identity for c in new],
            "name": [c.name for c in new],
            "aliases": [others for _, others in rows.values()],
            "object_size": [c.object_size for c in new],
            "size": [c.size for c in new],
            "slab_flags": [c.slab_flags for c in new],
            "order": [c.order for c in new],
            "objects_per_slab": [c.objects_per_slab for c in new],
            "reclaimable": [c.reclaimable for c in new],
            "first_seen_ns": [time.monotonic_ns()] * len(new),
        }
        self._writer.rows("caches", columns)

    def _store_new_stacks(self, sites: SiteRows) -> None:
        if self._stacks is None:
            return
        pairs = zip(sites["stack_id"].tolist(), sites["call_site"].tolist(), strict=True)
        stacks = self._stacks.new_stacks(pairs)
        self._store_symbols([frame for _, frames in stacks for frame in frames])
        self._writer.rows("stacks", {"stack_id": [s for s, _ in stacks], "frames": [f for _, f in stacks]})

    def _store_symbols(self, addresses: list[int]) -> None:
        """Resolve the addresses that are new, while their module is still loaded."""
        kallsyms = self._session.kallsyms
        new = sorted(set(addresses) - self._known_symbols)
        if new:
            kallsyms.refresh()  # they may be of a new module
        self._known_symbols.update(new)
        resolved = [(a, s) for a in new if (s := kallsyms.resolve(a)) is not None]
        columns = {
            "address": [a for a, _ in resolved],
            "name": [s.name for _, s in resolved],
            "offset": [s.offset for _, s in resolved],
            "module": [s.module for _, s in resolved],
            "since_ns": [time.monotonic_ns()] * len(resolved),
        }
        self._writer.rows("symbols", columns)
