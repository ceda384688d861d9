# SPDX-License-Identifier: Apache-2.0
"""Records become the events of a trace, with their sites, tasks, stacks and symbols.

Times must not be equal where one event follows another: pairing sorts frees before allocations of the same
time.  A text has microseconds, an old one steps of 10 ms.  So an event whose time is not later than that of
the event before it gets the time of that event plus 1 ns.  The order of the file stays.

Example: four events of a text

    as recorded   alloc 0x10 at 5.000001   free 0x10 at 5.000001   alloc 0x10 at 5.000000   free at 5.000003
    stored        5,000,001,000 ns         5,000,001,001 ns        5,000,001,002 ns         5,000,003,000 ns
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.importing.distinct import distinct
from slabtrace.importing.making.caches import Caches
from slabtrace.importing.making.names import Addresses
from slabtrace.importing.records import KINDS, NO_TIME, Records, Site, Task, Texts
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import FREE_BIT, SITES
from slabtrace.trace.writing.writer import TraceWriter

BATCH = 1 << 17  # events
LAST_NULL = 16  # kmalloc(0) gives 16 (ZERO_SIZE_PTR), and kfree of it does nothing


class Maker:
    """Writes records to `writer`, whose manifest's totals it keeps.

    `kinds`: events by tracepoint.  `peak`: objects outstanding at one time, about: allocations less frees,
    since it was lowest.  `backwards`: how often time went back.
    """

    def __init__(self, writer: TraceWriter, texts: Texts, release: str) -> None:
        self._writer, self._texts = writer, texts
        self.addresses, self.caches = Addresses(), Caches(release)
        self.kinds: Counter[str] = Counter()
        self.peak = self.backwards = 0
        self.first_ns: int | None = None
        self.last_ns = 0
        self._balance = self._lowest = 0
        self._site: dict[tuple[int, int], int] = {}  # by number of the text's site, and of its stack
        self._kind: NDArray[np.uint8] = np.empty(0, np.uint8)  # by number of the text's site
        self._stacks: set[int] = set()
        self._called: dict[int, tuple[int, str]] = {}  # tgid and name of each task, as last written
        self.single: dict[str, set[Any]] = {
            "bytes_req": set(),
            "bytes_alloc": set(),
            "tid": set(),
            "comm": set(),
        }

    @property
    def stacks(self) -> int:
        """How many stacks were written."""
        return len(self._stacks)

    @property
    def tasks(self) -> int:
        """How many tasks are known."""
        return len(self._called)

    def add(self, records: Records) -> None:
        """Write records, in the order of the file.  Raises WriteError."""
        for begin in range(0, records.size, BATCH):
            self._add(records.take(np.s_[begin : begin + BATCH]))

    def finish(self) -> None:
        """Write what is known only at the end: the names of caches."""
        self._writer.rows("caches", self.caches.rows(self.first_ns or 0))

    def _add(self, records: Records) -> None:
        self._count(records)
        records = self._without_null(records)
        if not records.size:
            return
        ts_ns = self._times(records.ts_ns)
        site, new_sites = self._sites(records, int(ts_ns[0]))
        tid = self._tasks(records.task, ts_ns)
        cpu = np.maximum(records.cpu, 0).astype(np.uint16)
        batch = EventBatch(ts_ns, records.ptr, site, tid, cpu)
        self._writer.rows("symbols", self.addresses.take_symbols(int(ts_ns[0])))
        self._writer.rows("sites", new_sites)
        self._writer.events(batch)
        self.caches.learn(batch, new_sites)
        self._totals(records)

    def _count(self, records: Records) -> None:
        counts = np.bincount(records.site)
        for number in np.flatnonzero(counts).tolist():
            self.kinds[self._texts.sites[number].event] += int(counts[number])

    def _without_null(self, records: Records) -> Records:
        """Without failed allocations and frees of nothing, which are only counted."""
        known = len(self._kind)
        more = [int(KINDS[site.event]) for site in self._texts.sites[known:]]
        self._kind = np.append(self._kind, np.array(more, np.uint8))
        nothing = records.ptr <= LAST_NULL
        if not nothing.any():
            return records
        free = (self._kind[records.site] & FREE_BIT) != 0
        totals = self._writer.manifest.totals
        totals.null_frees += int((nothing & free).sum())
        totals.failed_allocs += int((nothing & ~free).sum())
        return records.take(~nothing)

    def _times(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ascending times, each later than the one before."""
        has = ts_ns[ts_ns != NO_TIME]
        self.backwards += int((has[1:] < has[:-1]).sum()) + int(
            len(has) > 0 and has[0] < self.last_ns - BATCH
        )
        step = np.arange(len(ts_ns))
        least = max(self.last_ns + 1, 1)
        made = np.maximum(np.maximum.accumulate(ts_ns - step), least) + step
        self.first_ns = int(made[0]) if self.first_ns is None else self.first_ns
        self.last_ns = int(made[-1])
        return made

    def _sites(self, records: Records, ts_ns: int) -> tuple[NDArray[np.uint32], dict[str, Any]]:
        """The site of each record, and rows of sites.arrow for new ones; new stacks are written."""
        stacks = len(self._texts.stacks) + 1
        found = distinct(records.site * stacks + records.stack + 1)
        rows: list[dict[str, Any]] = []
        number = np.empty(len(found.value), np.uint32)
        for at, key in enumerate(found.value.tolist()):
            pair = key // stacks, key % stacks - 1
            known = self._site.get(pair)
            if known is None:
                known = self._site[pair] = len(self._site)
                rows.append(self._new_site(known, self._texts.sites[pair[0]], pair[1]))
            number[at] = known
        columns = {name: [row[name] for row in rows] for name in SITES.names}
        return number[found.code], columns

    def _new_site(self, number: int, site: Site, stack: int) -> dict[str, Any]:
        if stack >= 0 and stack not in self._stacks:
            self._stacks.add(stack)
            frames = self.addresses.frames(self._texts.stacks[stack])
            self._writer.rows("stacks", {"stack_id": [stack], "frames": [frames]})
        call_site = self.addresses.of(site.address, site.symbol)
        cache, flags = self.caches.of(site, call_site)
        self._note(site)
        return {
            "site": number, "kind": int(KINDS[site.event]), "flags": int(flags), "call_site": call_site,
            "cache": cache, "bytes_req": site.bytes_req, "bytes_alloc": site.bytes_alloc,
            "gfp_flags": site.gfp_flags, "node": site.node, "stack_id": stack,
        }  # fmt: skip

    def _note(self, site: Site) -> None:
        """Remember a few different values: one alone is the sign of a filter."""
        if not KINDS[site.event] & FREE_BIT:
            for name in ("bytes_req", "bytes_alloc"):
                if len(self.single[name]) < 2:
                    self.single[name].add(getattr(site, name))

    def _tasks(self, task: NDArray[np.int64], ts_ns: NDArray[np.int64]) -> NDArray[np.uint32]:
        """The tid of each record; rows of tasks.arrow for tasks that are new, or have a new name."""
        found = distinct(task)
        known = [self._texts.tasks[number] if number >= 0 else Task() for number in found.value.tolist()]
        rows: dict[str, list[Any]] = {"ts_ns": [], "tid": [], "tgid": [], "comm": []}
        for number, first, one in zip(found.value.tolist(), found.first.tolist(), known, strict=True):
            tgid = one.tgid or one.tid
            for name, value in (("tid", one.tid), ("comm", one.comm)):
                if len(self.single[name]) < 2:
                    self.single[name].add(value)
            if number >= 0 and self._called.get(one.tid) != (tgid, one.comm):
                self._called[one.tid] = tgid, one.comm
                for name, value in zip(rows, (int(ts_ns[first]), one.tid, tgid, one.comm), strict=True):
                    rows[name].append(value)
        self._writer.rows("tasks", rows)
        return np.array([one.tid for one in known], np.uint32)[found.code]

    def _totals(self, records: Records) -> None:
        free = (self._kind[records.site] & FREE_BIT) != 0
        frees = int(free.sum())
        totals = self._writer.manifest.totals
        totals.events += records.size
        totals.frees += frees
        totals.allocs += records.size - frees
        running = self._balance + np.cumsum(np.where(free, -1, 1))
        lowest = np.minimum(np.minimum.accumulate(running), self._lowest)
        self.peak = max(self.peak, int((running - lowest).max()))
        self._balance, self._lowest = int(running[-1]), int(lowest[-1])
