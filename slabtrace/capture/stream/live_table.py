# SPDX-License-Identifier: Apache-2.0
"""The consumer's side of bpf/live_table.h: find the objects that have grown old, each once.

Nothing is written to the table from here.  An object that was taken is remembered by its place and the time
of its allocation.  If a program sends the same allocation again, with the free, these two are equal.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.programs.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.rings import SLOT_WORDS
from slabtrace.trace.format.batch import UInt64
from slabtrace.trace.format.schema import FREE_BIT, Kind

WAYS = header_numbers("live_table.h")["WAYS"]
_SENT = header_numbers("live_table.h")["OBJECT_SENT"]
_TASK_COMM = header_numbers("event.h")["SLAB_TASK_COMM"]
_SETS_AT_ONCE = 1 << 13  # 448 KiB of times: what a CPU's cache holds while they are looked at
_FIRST, _SECOND = np.uint64(0xD6E8FEB86659FD93), np.uint64(0x9E3779B97F4A7C15)  # of mixed()
EVERYTHING = 1 << 62  # a limit (ns) that every object is older than


class LiveTable:
    """The live objects of all CPUs, mapped; `sets` is a power of two."""

    def __init__(self, programs: Programs, sets: int, kinds: int) -> None:
        table = programs.mapped("live_sets", struct_dtype("live_table.h", "live_set"), sets)
        self._ptr, self._object = table["ptr"], table["object"]
        self._ts: NDArray[np.int64] = self._object["ts_ns"].view(np.int64)
        events = programs.mapped("kind_events", "<u8", kinds * SLOT_WORDS)
        self._kinds: Rows = events.reshape(-1, SLOT_WORDS)
        self._taken = np.zeros((sets, WAYS), np.int64)  # ts_ns by place; untouched pages use no memory
        self._mask = np.uint64(sets - 1)

    def aged(self, before_ns: int) -> Iterator[Rows]:
        """Slots (n, 8) of the live objects that were allocated before this time (ns) and were not taken yet.

        A few thousand sets at a time.  Objects freed meanwhile may be missing: the programs send those.
        """
        one, limit = np.uint64(1), np.uint64(max(before_ns - 1, 0))
        for start in range(0, len(self._ts), _SETS_AT_ONCE):
            ts = self._ts[start : start + _SETS_AT_ONCE].ravel()
            old = ts.view(np.uint64) - one < limit  # in an empty place 0 - 1 is the largest number
            if not old.any():
                continue
            known = self._taken[start : start + _SETS_AT_ONCE].reshape(-1)
            found = np.flatnonzero(old & (ts != known))
            if len(found):
                rows = self._take(start + found // WAYS, found % WAYS)
                if len(rows):
                    yield rows

    def _take(self, sets: NDArray[np.intp], ways: NDArray[np.intp]) -> Rows:
        """Take the objects at these places, except those whose allocation a program has sent."""
        ts, ptr, objects = self._ts[sets, ways], self._ptr[sets, ways], self._object[sets, ways]
        same = (self._ts[sets, ways] == ts) & (ts != 0)  # else the object was freed while it was read
        self._taken[sets[same], ways[same]] = ts[same]
        wanted = np.flatnonzero(same & (objects["kind"] & _SENT == 0))
        rows: Rows = self._kinds[objects["kind"][wanted]]
        slots = rows.view(event_dtype()).reshape(-1)
        slots["ts_ns"], slots["ptr"] = ts[wanted], ptr[wanted]
        for name in ("stack_id", "tgid", "tid", "cpu"):
            slots[name] = objects[name][wanted]
        return rows

    def not_taken(self, rows: Rows) -> Rows:
        """`rows` (n, 8) without the allocations that were taken before."""
        slots = rows.view(event_dtype()).reshape(-1)
        allocs = np.flatnonzero((slots["kind"] & (FREE_BIT | _TASK_COMM)) == 0)
        if not len(allocs):
            return rows
        ptr, ts = slots["ptr"][allocs], slots["ts_ns"][allocs].view(np.int64)[:, None]
        again = (self._taken[self._home_of(ptr)] == ts).any(axis=1)
        again |= (self._taken[self._other_of(ptr)] == ts).any(axis=1)
        return rows if not again.any() else np.delete(rows, allocs[again], axis=0)

    def _home_of(self, ptr: UInt64) -> NDArray[np.intp]:
        """As home_of() of bpf/live_table.h."""
        first = _mixed(ptr >> np.uint64(12)) >> np.uint64(32)
        return (first + (ptr >> np.uint64(8) & np.uint64(15)) & self._mask).astype(np.intp)

    def _other_of(self, ptr: UInt64) -> NDArray[np.intp]:
        """As other_of() of bpf/live_table.h."""
        return (_mixed(ptr) >> np.uint64(32) & self._mask).astype(np.intp)

    def addresses(self) -> UInt64:
        """Addresses of all live objects that may be in a slab, shape (n,), uint64, but those freed meanwhile.

        A per-CPU pointer is no address, and that of an area of vmalloc is far from those of slabs.
        """
        valid = self._ts != 0
        number = np.minimum(self._object["kind"][valid] & np.uint16(_SENT - 1), len(self._kinds) - 1)
        kinds = self._kinds.view(event_dtype()).reshape(-1)["kind"][number]
        found: UInt64 = self._ptr[valid]
        live: UInt64 = found[(found != 0) & ~np.isin(kinds, (Kind.PERCPU_ALLOC, Kind.VMALLOC))]
        return live

    @property
    def size(self) -> int:
        """The number of objects in the table."""
        return int(np.count_nonzero(self._ptr))


def _mixed(number: UInt64) -> UInt64:
    """As mixed() of bpf/live_table.h."""
    mixed = number * _FIRST
    half = np.uint64(32)
    return (mixed ^ mixed >> half) * _SECOND
