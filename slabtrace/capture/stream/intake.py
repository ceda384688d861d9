# SPDX-License-Identifier: Apache-2.0
"""From slots and repeats to columns: runs of them become the five narrow columns that are stored.

A run is read in place in the ring, a few thousand at a time, so that they stay in the CPU's cache while each
word is read.  Whole slots are not copied.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from slabtrace.capture.programs.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.page_blocks import pages_of
from slabtrace.capture.stream.repeated import Places, SlotSites
from slabtrace.capture.stream.sites import SiteTable
from slabtrace.trace.format.batch import EventBatch

CHUNK = 8192  # slots: 512 KiB, half of a small L2 cache
REPEATS_CHUNK = 16384  # 384 KiB
CAPACITY = 1 << 17  # events of one batch
_ALLOCATED = CAPACITY + CAPACITY // 4  # a drain stops at about the capacity

_DTYPE = event_dtype()
_OFFSET = {name: _DTYPE.fields[name][1] for name in _DTYPE.names}  # type: ignore[index, union-attr]
_TASK = _OFFSET["tgid"] // 8  # tgid in the lower half, tid in the upper; a test holds that
_CPU = _OFFSET["cpu"] // 2
_REPEAT_TID = struct_dtype("event.h", "repeat_event").fields["tid"][1] // 4  # type: ignore[index]
_TASK_COMM, _CACHE_END = (header_numbers("event.h")[f"SLAB_{name}"] for name in ("TASK_COMM", "CACHE_END"))
_KIND_WORD, _KIND_SHIFT = _OFFSET["kind"] // 8, _OFFSET["kind"] % 8 * 8
_CACHE_NAME = slice(_OFFSET["call_site"] // 8, _OFFSET["cpu"] // 8)  # words of the end of a cache
_OTHER = np.uint64(_TASK_COMM << _KIND_SHIFT)  # a bit of all slots that are no events of objects


Cpus = np.ndarray[Any, np.dtype[np.int64]]


class TaskName(NamedTuple):
    """From `ts_ns` on, task `tid` of process `tgid` has the name `comm`."""

    ts_ns: int
    tid: int
    tgid: int
    comm: str


class CacheEnd(NamedTuple):
    """The slab cache at this address ended at `ts_ns`; `name`: "" if it could not be read."""

    ts_ns: int
    address: int
    name: str = ""


class OtherRows(NamedTuple):
    """What happened to tasks and caches since the last time.

    `names`; `unnamed`: tasks in events without a name before; `processes`: slots of what processes and
    cgroups do (processes.py); `cache_ends`.
    """

    names: list[TaskName]
    unnamed: list[TaskName]
    processes: list[Rows]
    cache_ends: list[CacheEnd]


class Intake:
    """Collects the events of one batch in columns.  `places`: as many as SlotPlaces has."""

    def __init__(self, sites: SiteTable, pages: bool = False, places: int = 0) -> None:
        self.sites = sites
        self._slot_sites = SlotSites(places)
        self._pages = pages  # are there blocks of pages among the events?
        self.task_names: list[TaskName] = []
        self.cache_ends: list[CacheEnd] = []
        self._processes: list[Rows] = []
        self._known_tgid = np.zeros(1 << 22, dtype=np.uint32)  # PID_MAX_LIMIT; touched pages only
        self._unnamed: list[TaskName] = []
        self._start()

    def _start(self) -> None:
        self.count = 0
        self._ts = np.empty(_ALLOCATED, dtype=np.int64)
        self._ptr = np.empty(_ALLOCATED, dtype=np.uint64)
        self._site = np.empty(_ALLOCATED, dtype=np.uint32)
        self._tid = np.empty(_ALLOCATED, dtype=np.uint32)
        self._cpu = np.empty(_ALLOCATED, dtype=np.uint16)

    @property
    def room(self) -> int:
        """How many events still fit into the batch."""
        return max(CAPACITY - self.count, 0)

    def knows(self, tid: int, tgid: int) -> None:
        """Remember a task whose name is known from elsewhere (the scan of /proc at the start)."""
        self._known_tgid[tid & 0x3FFFFF] = tgid

    def accept(self, rows: Rows, cpu: int | None, places: Places | None = None) -> None:
        """Take slots of one CPU, shape (n, 8), in the order they were committed.

        `cpu` None: each slot names its CPU.  `places`, shape (n,): where their sites are remembered.
        """
        for start in range(0, len(rows), CHUNK):
            chunk = slice(start, start + CHUNK)
            self._accept_chunk(rows[chunk], cpu, None if places is None else places[chunk])

    def _accept_chunk(self, rows: Rows, cpu: int | None, places: Places | None) -> None:
        kinds = rows[:, _KIND_WORD]
        if np.bitwise_or.reduce(kinds, initial=0) & _OTHER:
            other = kinds & _OTHER != 0
            self._take_others(rows[other])
            rows, places = rows[~other], None if places is None else places[~other]
        sites = self.sites.intern(rows)
        if places is not None:
            self._slot_sites.remember(places, sites)
        if self._pages and (blocks := pages_of(rows)) is not None:
            rows, sites = blocks.rows, sites[blocks.of]
        at, end = self.count, self.count + len(rows)
        self._make_room(end)
        self._ts[at:end] = rows[:, 0].view(np.int64)
        self._ptr[at:end] = rows[:, 1]
        self._site[at:end] = sites
        self._cpu[at:end] = rows.view(np.uint16)[:, _CPU] if cpu is None else cpu
        self._take_tasks(rows, at, end)
        self.count = end

    def accept_repeats(self, rows: Rows, cpu: int | Cpus, places: Places) -> None:
        """Take repeats, shape (n, 3), in the order they were committed, of one CPU or each of its own.

        `places`, shape (n,): of the slots that they name.
        """
        begin, end = self.count, self.count + len(rows)
        self._make_room(end)
        self._cpu[begin:end] = cpu
        for first in range(0, len(rows), REPEATS_CHUNK):
            chunk = rows[first : first + REPEATS_CHUNK]
            at = slice(begin + first, begin + first + len(chunk))
            self._ts[at] = chunk[:, 0].view(np.int64)
            self._ptr[at] = chunk[:, 1]
            self._tid[at] = chunk.view(np.uint32)[:, _REPEAT_TID]
            self._site[at] = self._slot_sites.of(places[first : first + REPEATS_CHUNK])
        self.count = end

    def _make_room(self, events: int) -> None:
        """There may be more than there is room: blocks of pages, and slots, which always precede repeats."""
        if events > len(self._ts):
            for name in ("_ts", "_ptr", "_site", "_tid", "_cpu"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.empty(events, column.dtype)]))

    def _take_tasks(self, rows: Rows, at: int, end: int) -> None:
        """Store tids, and find tasks that have no task event before.

        Only the first event of each run of one task is checked: a CPU rarely switches between two events.
        """
        task = rows[:, _TASK].copy()
        self._tid[at:end] = task >> np.uint64(32)
        if not len(task):
            return
        first = np.flatnonzero(np.concatenate([[True], task[1:] != task[:-1]]))
        tid = (task[first] >> np.uint64(32)).view(np.int64) & 0x3FFFFF
        tgid = task[first].astype(np.uint32)
        for i in np.flatnonzero(self._known_tgid[tid] != tgid).tolist():
            if self._known_tgid[tid[i]] != tgid[i]:
                self._known_tgid[tid[i]] = tgid[i]
                self._unnamed.append(TaskName(int(rows[first[i], 0]), int(tid[i]), int(tgid[i]), ""))

    def _take_others(self, rows: Rows) -> None:
        """Slots about what tasks and caches do: names of tasks, ends of caches, and all else."""
        kind = rows[:, _KIND_WORD] >> np.uint64(_KIND_SHIFT) & np.uint64(0xFF)
        named, ended = kind == _TASK_COMM, kind == _CACHE_END
        self._take_names(rows[named])
        self.cache_ends += [
            CacheEnd(ts_ns, address, _text(name.tobytes()))
            for (ts_ns, address), name in zip(
                rows[ended, :2].tolist(), rows[ended][:, _CACHE_NAME], strict=True
            )
        ]
        if not (named | ended).all():
            self._processes.append(rows[~(named | ended)])

    def _take_names(self, rows: Rows) -> None:
        """Any user can rename a task four million times a second: each distinct name is decoded once."""
        slots = np.frombuffer(rows.tobytes(), dtype=_DTYPE)
        raw = np.stack([slots["ptr"], slots["call_site"]], axis=1).view("V16").reshape(-1)
        names = raw.tolist()
        comms = {each: _text(each) for each in {*names}}
        self._known_tgid[slots["tid"] & 0x3FFFFF] = slots["tgid"]  # of one task, the last
        columns = (slots[name].tolist() for name in ("ts_ns", "tid", "tgid"))
        self.task_names += map(TaskName, *columns, map(comms.__getitem__, names))

    def take_others(self) -> OtherRows:
        """What came of tasks and caches since the last call."""
        rows = OtherRows(self.task_names, self._unnamed, self._processes, self.cache_ends)
        self.task_names, self._unnamed, self._processes, self.cache_ends = [], [], [], []
        return rows

    def take(self) -> EventBatch:
        """The columns collected so far, not ordered across lanes.  The intake is empty then."""
        n = self.count
        batch = EventBatch(self._ts[:n], self._ptr[:n], self._site[:n], self._tid[:n], self._cpu[:n])
        self._start()
        return batch


def _text(raw: bytes) -> str:
    """A name, up to the first 0 byte."""
    return raw.split(b"\0", 1)[0].decode(errors="backslashreplace")
