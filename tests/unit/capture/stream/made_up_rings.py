# SPDX-License-Identifier: Apache-2.0
"""Rings in memory of our own, filled as the programs fill them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slabtrace.capture.programs.layout import event_dtype, struct_dtype
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.repeated import Places
from slabtrace.capture.stream.rings import REPEAT_WORDS, REPEATS, SLOT_WORDS, RingGeometry

STATES = struct_dtype("ring.h", "cpu_state")
GEOMETRY = RingGeometry(cpus=2, task_slots=64)


class Memory:
    """What capture.programs.loading.Programs maps, in memory of our own."""

    def __init__(self, at: int = 0, geometry: RingGeometry = GEOMETRY) -> None:
        self.geometry = geometry
        self.states = np.zeros(geometry.cpus, STATES)
        for name in ("head", "repeats", "dropped", "stack_lost", "recovered"):
            self.states["lane"][name] = at
        self.states["tail"] = self.states["repeats_tail"] = self.states["too_deep"] = at
        self.slots = np.zeros(geometry.cpus * geometry.slots_per_cpu * SLOT_WORDS, np.uint64)
        self.repeats = np.zeros(geometry.cpus * geometry.slots_per_cpu * REPEATS * REPEAT_WORDS, np.uint64)
        self.misses = {"kfree": at, "kfree_twin": at}

    def mapped(self, name: str, kind: Any, count: int) -> Any:
        return {"cpu_states": self.states, "slots": self.slots, "repeats": self.repeats}[name]

    def recursion_misses(self) -> dict[str, int]:
        return dict(self.misses)

    def commit(self, cpu: int, count: int, first_ts: int) -> None:
        """Write slots to the task lane as bpf/ring.h does: at head modulo its size, then move head."""
        lane = self.states["lane"][cpu, 0]
        words = self.slots.reshape(-1, SLOT_WORDS)
        at = (int(lane["head"]) % self.geometry.task_slots + np.arange(count)) % self.geometry.task_slots
        place = cpu * self.geometry.slots_per_cpu + at
        words[place, 0] = first_ts + np.arange(count, dtype=np.uint64)
        self.slots.view(event_dtype())["cpu"][place] = cpu
        self.states["lane"]["head"][cpu, 0] = np.uint64((int(lane["head"]) + count) % 2**64)

    def repeat(self, cpu: int, ts_ns: int, ptr: int, slot: int, tid: int) -> None:
        """Commit a repeat in the task lane."""
        lane, size = self.states["lane"][cpu, 0], self.geometry.task_slots * REPEATS
        place = cpu * self.geometry.slots_per_cpu * REPEATS + int(lane["repeats"]) % size
        last = tid << 32 | slot % 2**32
        self.repeats.reshape(-1, REPEAT_WORDS)[place] = np.array([ts_ns, ptr, last], np.uint64)
        self.states["lane"]["repeats"][cpu, 0] = np.uint64((int(lane["repeats"]) + 1) % 2**64)


class Slots:
    """A taker that passes slots to a function of two arguments, and counts repeats."""

    def __init__(self, take: Callable[[Rows, int | None], object]) -> None:
        self._take = take
        self.repeats = 0

    def accept(self, rows: Rows, cpu: int | None, places: Places) -> None:
        self._take(rows, cpu)

    def accept_repeats(self, rows: Rows, cpu: Any, places: Places) -> None:
        self.repeats += len(rows)
