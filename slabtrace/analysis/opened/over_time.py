# SPDX-License-Identifier: Apache-2.0
"""The tables over time of a trace: what caches, call sites and sizes held, and when."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import slabtrace.columns as tables
from slabtrace.analysis.opened.memory import memory_series, traced_bytes
from slabtrace.analysis.opened.passes import Passes
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.opened.vouched import Vouched
from slabtrace.columns.table import documented

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.memory.series import Series

BUCKETS = 600


class OverTime:
    """A part of slabtrace.api.Trace, which makes its tables of these."""

    _recorded: Recorded
    _passes: Passes
    _vouched: Vouched

    def caches(self) -> pd.DataFrame:
        """Every slab cache: Trace makes it."""
        raise NotImplementedError

    @documented(tables.USAGE)
    def usage(self, buckets: int = BUCKETS) -> pd.DataFrame:
        """Each cache's objects and bytes over time, in `buckets` equal parts of the recording."""
        from slabtrace.analysis.counting.usage import usage

        timeline, _ = self._passes.timelines(buckets)
        recorded, page_size = self._recorded, self._recorded.manifest.host.page_size
        parked, started_ns = self._vouched.account.parked, self._recorded.span_ns[0]
        return usage(timeline, recorded.caches, recorded.slabinfo, started_ns, page_size, parked)

    @documented(tables.CALL_SITE_USAGE)
    def call_site_usage(self, top: int = 7, buckets: int = BUCKETS) -> pd.DataFrame:
        """What the `top` call sites held over time, and all others together."""
        from slabtrace.analysis.counting.usage import call_site_usage

        timeline, _ = self._passes.timelines(buckets)
        return call_site_usage(timeline, self._recorded.lookup.symbols, top)

    @documented(tables.SIZE_CLASSES)
    def size_classes(self, buckets: int = BUCKETS) -> pd.DataFrame:
        """What was allocated and freed over time, by size of object."""
        from slabtrace.analysis.counting.usage import size_classes

        timeline, _ = self._passes.timelines(buckets)
        return size_classes(timeline)

    @documented(tables.PEAKS)
    def peaks(self) -> pd.DataFrame:
        """When each cache had most objects outstanding, and who had allocated them; largest peak first."""
        from slabtrace.analysis.counting.peaks import peaks

        recorded = self._recorded
        _, found = self._passes.timelines(BUCKETS)
        return peaks(
            found, recorded.sites, recorded.caches, recorded.lookup.symbols, self._recorded.span_ns[0]
        )

    @documented(tables.ARRIVALS)
    def arrivals(self, buckets: int = 48) -> pd.DataFrame:
        """When the outstanding objects were allocated, by cache and stack."""
        from slabtrace.analysis.tables.arrivals import arrivals

        begin, end = self._recorded.span_ns
        return arrivals(self._passes.summary, self._recorded.lookup, end - begin, buckets)

    @cached_property
    def _memory(self) -> Series:
        return memory_series(self._recorded)

    @documented(tables.ACCOUNT)
    def account(self) -> pd.DataFrame:
        """Where the machine's memory went from the begin to the end, slab or not.

        No rows for a trace without memory.arrow (before format 2.3).
        """
        from slabtrace.analysis.memory.account import account

        return account(self._memory, traced_bytes(self.usage(), self.caches()))

    def account_sentences(self) -> list[str]:
        """What `account` shows, in words; the first sentence says how much of it is slab.  Reads no event."""
        from slabtrace.analysis.memory.account import account
        from slabtrace.analysis.memory.words import all_sentences

        unread = self._recorded.manifest.coverage.memory_unread
        return all_sentences(account(self._memory), self._memory, unread)

    @documented(tables.MEMORY_PARTS)
    def memory(self) -> pd.DataFrame:
        """The parts of the machine's memory over time."""
        from slabtrace.analysis.memory.account import over_time

        return over_time(self._memory, self._recorded.span_ns[0])

    @documented(tables.COUNTERS)
    def counters(self) -> pd.DataFrame:
        """The kernel's counters of memory that the parts are made of, at the begin and at the end."""
        from slabtrace.analysis.memory.account import counters

        return counters(self._memory)

    survivors = arrivals  # its name up to 0.1
