# SPDX-License-Identifier: Apache-2.0
"""When events were lost, by markers in a text and the times of the events around them.

A marker stands before the first event after a gap.  The gap began with the event that this CPU recorded
before it, and ends with the next one, which may be in a later block.

Example: 1.0 [CPU 0], 2.0 [CPU 1], "CPU:1 [LOST 673 EVENTS]", 3.0 [CPU 0], 4.0 [CPU 1]: 673 events of CPU 1
were lost between 2.0 and 4.0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slabtrace.importing.records import Facts, Lost
from slabtrace.importing.text.markers import Marker
from slabtrace.importing.text.scan import Positions


class Losing:
    """Takes the events and markers of a text, block by block; `close` at its end."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._last: dict[int, int] = {}  # time of each CPU's last event
        self._open: dict[int, tuple[Marker, int]] = {}  # by CPU: no later event yet; when the gap began
        self._first_ns: int | None = None
        self._end_ns = 0

    def note(
        self, at: Positions, ts_ns: NDArray[np.int64], cpu: NDArray[np.int32], found: Sequence[Marker]
    ) -> None:
        """Take a block's events of any kind, by position, with the markers between them."""
        self._close_open(ts_ns, cpu)
        for marker in found:
            before = int(np.searchsorted(at, marker.position))
            mine = np.flatnonzero(cpu[:before] == marker.cpu)
            begin = int(ts_ns[mine[-1]]) if len(mine) else self._last.get(marker.cpu)
            if marker.started or begin is None:
                begin = self._begin(ts_ns)
            later = np.flatnonzero(cpu[before:] == marker.cpu)
            if len(later):
                self._lost(marker, begin, int(ts_ns[before + later[0]]))
            else:
                self._wait(marker, begin)
        if len(ts_ns):
            self._first_ns = int(ts_ns[0]) if self._first_ns is None else self._first_ns
            self._end_ns = max(self._end_ns, int(ts_ns.max()))
            newest, reverse = np.unique(cpu[::-1], return_index=True)
            self._last |= dict(zip(newest.tolist(), ts_ns[::-1][reverse].tolist(), strict=True))

    def close(self) -> None:
        """The text has ended: so have the gaps that no event follows."""
        for marker, begin in self._open.values():
            self._lost(marker, begin, self._end_ns)
        self._open = {}

    def _wait(self, marker: Marker, begin: int) -> None:
        """Keep a marker until its CPU's next event; several without an event between them are one gap."""
        known = self._open.get(marker.cpu)
        if known is not None:
            marker, begin = marker._replace(events=marker.events + known[0].events), known[1]
        self._open[marker.cpu] = marker, begin

    def _begin(self, ts_ns: NDArray[np.int64]) -> int:
        if self._first_ns is not None:
            return self._first_ns
        return int(ts_ns[0]) if len(ts_ns) else 0

    def _close_open(self, ts_ns: NDArray[np.int64], cpu: NDArray[np.int32]) -> None:
        for marker, begin in list(self._open.values()):
            later = np.flatnonzero(cpu == marker.cpu)
            if len(later):
                self._lost(marker, begin, int(ts_ns[later[0]]))
                del self._open[marker.cpu]

    def _lost(self, marker: Marker, begin: int, end: int) -> None:
        lost = Lost(min(begin, end), max(begin, end), marker.cpu, marker.events, marker.text)
        self._facts.lose(lost)
