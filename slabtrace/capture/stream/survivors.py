# SPDX-License-Identifier: Apache-2.0
"""--mode survivors, seen from the recorder: when to look for old objects, and until when the story is whole.

The programs pair allocations with frees and send only what grew old (bpf/live_table.h).  Here the table
is swept now and then; after a sweep, and after the rings were emptied once more, every event of an
object that is told of at all and was allocated before the sweep's limit has been seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from slabtrace.capture.options import COUNTED_KINDS, CaptureOptions
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.stream.counted import Counted
from slabtrace.capture.stream.live_table import EVERYTHING, LiveTable
from slabtrace.capture.stream.rings import Rows
from slabtrace.capture.stream.sites import SiteTable

# An object is handed out only when it is older than the threshold by this: a program that reads the
# clock and finds it younger, and so counts it, must be done by then.
MARGIN_NS = 10_000_000
_REST = 1200  # a sweep is followed by a rest of this many times its CPU time


class Survivors:
    """What the recorder asks of the mode.  `cpus`: possible CPUs."""

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
        """Slots of what has grown old since the last sweep; to be exhausted."""
        begun_ns = time.thread_time_ns()
        yield from self._table.aged(now_ns - self._older_ns)
        self._swept_ns = max(self._swept_ns, now_ns - self._older_ns)
        took_ns = time.thread_time_ns() - begun_ns
        self._next_ns = now_ns + max(self._older_ns // 2, took_ns * _REST)

    def emptied(self) -> None:
        """The rings were emptied, after the last sweep had ended: what it missed has come as well."""
        self.known_until_ns = self._swept_ns

    def rest(self) -> Iterator[Rows]:
        """Slots of all that is live, once nothing is attached any more."""
        yield from self._table.aged(EVERYTHING)
        self.known_until_ns = EVERYTHING

    def unknown(self, rows: Rows) -> Rows:
        """`rows` from the rings without the allocations that a sweep has handed out."""
        return self._table.not_handed_out(rows)

    def counts(self, now_ns: int, sites: SiteTable) -> dict[str, Any]:
        """Columns of counted.arrow for what was counted since the last time."""
        return self._counted.take(now_ns, sites)

    @property
    def counted(self) -> int:
        """Objects counted so far: each one an allocation and a free."""
        return self._counted.objects

    @property
    def live_addresses(self) -> Any:
        """Addresses of all objects in the table, shape (n,), uint64."""
        return self._table.addresses()
