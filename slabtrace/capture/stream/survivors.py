# SPDX-License-Identifier: Apache-2.0
"""--mode survivors, the recorder's side: when to sweep the live table, and until when all events are known.

The programs pair allocations with frees, and send events only of objects that grow old (bpf/live_table.h).
A sweep takes the objects that are older than its limit.  When it has ended, and the rings were emptied once
more, every event that is older than the limit has arrived: that time is `known_until_ns`, and the
watermark stays behind it.  docs/capture.md has the proof.

Example: threshold 1 s, margin 10 ms; a sweep at 5.00 s has the limit 3.99 s.

    object  allocated  freed            its allocation arrives
    A       3.00 s     not yet          in this sweep
    B       3.50 s     4.99 s           in a ring, with its free, before B's place was cleared: so before the
                                        sweep passed, and the drain after the sweep takes both
    C       3.98 s     4.30 s           never: it was young, and is counted
    D       4.50 s     not yet          in a later sweep; the limit is before it
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from slabtrace.capture.options import COUNTED_KINDS, CaptureOptions
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.stream.counted import Counted
from slabtrace.capture.stream.intake import Intake
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.live_table import EVERYTHING, LiveTable
from slabtrace.capture.stream.repeated import Places
from slabtrace.capture.stream.rings import Taker
from slabtrace.capture.stream.sites import SiteTable

# A sweep takes an object only when it is this much older than the threshold.  A program that read the clock,
# found the object younger and counts it, must have cleared its place by then.
MARGIN_NS = 10_000_000
_REST = 600  # after a sweep, no other for this many times its CPU time


class Survivors:
    """Sweeps the live table and reads the counts.  `cpus`: possible CPUs."""

    def __init__(self, programs: Programs, options: CaptureOptions, cpus: int) -> None:
        self._table = LiveTable(programs, options.live_sets, COUNTED_KINDS)
        self._counted = Counted(programs, cpus, COUNTED_KINDS)
        self._older_ns = options.threshold_ns + MARGIN_NS
        self._swept_ns = 0  # the last sweep's limit
        self._next_ns = 0
        self.known_until_ns = 0

    def start(self, now_ns: int) -> None:
        """The recording begins here."""
        self._counted.start(now_ns)
        self.known_until_ns = self._swept_ns = now_ns - self._older_ns

    def due(self, now_ns: int) -> bool:
        """Is it time for a sweep?"""
        return now_ns >= self._next_ns

    def sweep(self, now_ns: int) -> Iterator[Rows]:
        """Slots (n, 8) of the objects that have grown old since the last sweep.  Exhaust the iterator."""
        begun_ns = time.thread_time_ns()
        yield from self._table.aged(now_ns - self._older_ns)
        self._swept_ns = max(self._swept_ns, now_ns - self._older_ns)
        took_ns = time.thread_time_ns() - begun_ns
        self._next_ns = now_ns + max(self._older_ns // 2, took_ns * _REST)

    def emptied(self) -> None:
        """The rings were emptied after the last sweep had ended: every event before its limit is known."""
        self.known_until_ns = self._swept_ns

    def rest(self) -> Iterator[Rows]:
        """Slots of all live objects, once nothing is attached any more."""
        yield from self._table.aged(EVERYTHING)
        self.known_until_ns = EVERYTHING

    def into(self, intake: Intake) -> Taker:
        """What passes slots from the rings on, without the allocations that a sweep has taken before."""
        return _NotTaken(self._table, intake)

    def counts(self, now_ns: int, sites: SiteTable) -> dict[str, Any]:
        """Columns of counted.arrow for the objects counted since the last call."""
        return self._counted.take(now_ns, sites)

    @property
    def counted(self) -> int:
        """Objects counted so far.  Each stands for an allocation and a free."""
        return self._counted.objects

    @property
    def live_addresses(self) -> Any:
        """Addresses of all objects in the table, shape (n,), uint64."""
        return self._table.addresses()


class _NotTaken:
    """A taker of slots.  There are no repeats in this mode."""

    def __init__(self, table: LiveTable, intake: Intake) -> None:
        self._table, self._intake = table, intake

    def accept(self, rows: Rows, cpu: int | None, places: Places) -> None:
        self._intake.accept(self._table.not_taken(rows), cpu)

    def accept_repeats(self, rows: Rows, cpu: Any, places: Places) -> None:
        raise AssertionError("no program of this mode makes repeats")
