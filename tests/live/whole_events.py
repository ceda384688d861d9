# SPDX-License-Identifier: Apache-2.0
"""Takes what rings hand over, and makes whole events of repeats again."""

from __future__ import annotations

from typing import Any

import numpy as np

from slabtrace.capture.programs.layout import event_dtype, struct_dtype
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.repeated import Places
from slabtrace.capture.stream.rings import Rings


class WholeEvents:
    """One for all drains of these rings: a repeat may name a slot that was drained before."""

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._slots = np.zeros(rings.places.count, event_dtype())
        self._taken: list[np.ndarray[Any, Any]] = []

    def accept(self, rows: Rows, cpu: int | None, places: Places) -> None:
        self._slots[places] = np.frombuffer(rows.tobytes(), event_dtype())
        self._taken.append(self._slots[places])

    def accept_repeats(self, rows: Rows, cpu: Any, places: Places) -> None:
        repeats = np.frombuffer(rows.tobytes(), struct_dtype("event.h", "repeat_event"))
        events = self._slots[places]
        for name in ("ts_ns", "ptr", "tid"):
            events[name] = repeats[name]
        self._taken.append(events)

    def drained(self) -> np.ndarray[Any, Any]:
        """What is in the rings now, by time; they are emptied."""
        self._taken = [np.zeros(0, event_dtype())]
        while self._rings.drain(1 << 20, self) is not None:
            pass
        events = np.concatenate(self._taken)
        return events[np.argsort(events["ts_ns"], kind="stable")]
