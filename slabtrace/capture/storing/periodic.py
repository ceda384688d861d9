# SPDX-License-Identifier: Apache-2.0
"""The once-a-second records: losses, slabinfo, the manifest's totals, the status line.

Their numbers are counted elsewhere.  Nothing here touches an event.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

from slabtrace.capture.kernel.slabinfo import SlabinfoRow, SlabinfoSampler
from slabtrace.capture.session import Session
from slabtrace.capture.storing.storing import Storing
from slabtrace.capture.stream.ledger import Ledger
from slabtrace.trace.manifest import Step
from slabtrace.trace.writing.sink import Sink

PERIOD_NS = 1_000_000_000


@dataclass
class Progress:
    """What the status line shows.  `net_objects`: allocations less frees so far; `fill`: 0 to 1.

    `steps`: what --budget has given up since the last time.
    """

    elapsed_s: float
    events: int
    events_per_s: float
    net_objects: int
    dropped: int
    fill: float
    bytes: int
    steps: tuple[Step, ...] = ()


class PeriodicRecords:
    """Writes the records through the storing thread, the only one that uses the `writer`."""

    def __init__(self, session: Session, writer: Sink, store: Storing) -> None:
        self._session, self._writer, self._store = session, writer, store
        self._slabinfo = SlabinfoSampler()
        self._ledger = Ledger(session.rings, session.programs)
        self._cpu_before_ns = self._last_events = 0

    def start(self, now_ns: int) -> None:
        """Count from here on: the recording begins."""
        self._ledger.start(now_ns)
        self._cpu_before_ns = time.process_time_ns()

    def losses(self, now_ns: int) -> None:
        """Store the losses since the last call."""
        self._store.rows("losses", self._ledger.sample(now_ns, self._store.late))

    def slabinfo(self, now_ns: int, everything: bool = False) -> None:
        """Store a sample of slabinfo; with `everything` also the lines that did not change."""
        names = self._slabinfo.names
        # One row even if nothing changed: analysis trusts a killed recording up to the last of them.
        rows = self._slabinfo.sample(everything) or self._slabinfo.unchanged()
        columns = {name: [getattr(row, name) for row in rows] for name in SlabinfoRow._fields}
        self._store.rows("slabinfo", {"ts_ns": [now_ns] * len(rows), **columns})
        if names and self._slabinfo.names != names:
            self._store.look_again()

    def close(self, now_ns: int) -> None:
        """Write the last records, once nothing is attached and all events are handed over."""
        self._store.rows("losses", self._ledger.late(now_ns, self._store.late))
        self._store.call(self.totals)

    def totals(self) -> None:
        """Update the manifest and save it.  Call it in the storing thread."""
        totals, store = self._writer.manifest.totals, self._store
        for name, value in self._ledger.totals().items():
            setattr(totals, name, value)
        counted = self._counted
        totals.events, totals.counted, totals.late = store.events, counted, store.late
        totals.allocs, totals.frees = store.allocs + counted, store.frees + counted
        totals.modules = self._session.kallsyms.modules
        totals.cgroups_unjudged = self._session.cgroups.unjudged if self._session.cgroups else 0
        totals.left_out = self._session.left_out()
        totals.bytes_on_disk, totals.segments = self._writer.bytes, self._writer.segments
        use = self._writer.manifest.recorder
        use.cpu_ns = time.process_time_ns() - self._cpu_before_ns
        use.peak_rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._writer.save_manifest()

    def progress(self, now_ns: int, fill: float) -> Progress:
        """What to show.  `fill`: how full the fullest lane was since the last call, 0 to 1."""
        store = self._store
        events = store.events + 2 * self._counted
        rate, self._last_events = (events - self._last_events) / (PERIOD_NS / 1e9), events
        return Progress(
            elapsed_s=(now_ns - self._writer.manifest.started_ns) / 1e9,
            events=events,
            events_per_s=rate,
            net_objects=store.allocs - store.frees,
            dropped=self._ledger.totals()["dropped"],
            fill=fill,
            bytes=self._writer.bytes,
        )

    @property
    def _counted(self) -> int:
        """Objects that only the programs counted."""
        return 0 if self._session.survivors is None else self._session.survivors.counted
