# SPDX-License-Identifier: Apache-2.0
"""Samples the counters of memory: of the sources that are due, those counters that changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from slabtrace.capture.memory.sources import COST_SHARE, Source, sources
from slabtrace.capture.memory.texts import Counters

TRANSIENT = ("vmalloc.", "slab.")  # counters that are 0 when they are no longer listed


class MemorySampler:
    """Reads sources when they are due.

    `unread`: why a source could not be read the last time, by its name.  `cost_ns`: CPU time of the dearest
    reading of each so far.
    """

    def __init__(
        self,
        of: Sequence[Source] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        cpu_clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self._sources = sources() if of is None else of
        self._clock, self._cpu_clock = clock, cpu_clock
        self._due: dict[str, int] = {}
        self._last: Counters = {}
        self.unread: dict[str, str] = {}
        self.cost_ns: dict[str, int] = {}

    def sample(self, everything: bool = False) -> Counters:
        """The counters that changed since they were last read; with `everything` all, of all sources.

        What was there and is no longer, as a caller of vmalloc that has freed all, is 0.
        """
        found: Counters = {}
        for source in self._sources:
            if everything or self._clock() >= self._due.get(source.name, 0):
                found |= self._with_zeros(self._read(source))
        changed = {n: v for n, v in found.items() if everything or self._last.get(n) != v}
        self._last |= found
        return changed

    def _read(self, source: Source) -> Counters:
        begin, cpu_begin = self._clock(), self._cpu_clock()
        try:
            found = source.read()
            self.unread.pop(source.name, None)
        except (OSError, ValueError) as error:
            found = {}
            self.unread[source.name] = getattr(error, "strerror", None) or str(error)
        cost = self._cpu_clock() - cpu_begin  # not the clock: on a busy machine others run meanwhile
        self.cost_ns[source.name] = max(cost, self.cost_ns.get(source.name, 0))
        self._due[source.name] = begin + max(source.period_ns, cost * COST_SHARE)
        return found

    def _with_zeros(self, found: Counters) -> Counters:
        if not found or not next(iter(found)).startswith(TRANSIENT):
            return found
        begin = next(iter(found)).partition(".")[0] + "."
        gone = [name for name in self._last if name.startswith(begin) and name not in found]
        return found | dict.fromkeys(gone, 0)
