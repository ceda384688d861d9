# SPDX-License-Identifier: Apache-2.0
"""The consumer's side of bpf/ring.h: hand over the committed slots, then free them.

A poll reads all heads at once, and hands over each lane's run of slots as one NumPy view.  There is no system
call, no wake-up, and no Python code per event.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slabtrace.capture.programs.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.capture.programs.loading import Programs

LANES = header_numbers("ring.h")["LANES"]
SLOT_BYTES = event_dtype().itemsize
SLOT_WORDS = SLOT_BYTES // 8
IRQ_SHARE = 16  # every other lane has 1/16 of the slots of task context

# A program stores `depth` before it reads the clock, but the store may still be in the CPU's store buffer
# when the clock is read.  The buffer drains in well under a microsecond, so this is more than enough.
WATERMARK_SLACK_NS = 100_000
_WATERMARK_TRIES = 8
# A task that is preempted inside a program, and does not run again, keeps its CPU from being seen idle.
# Events wait for such a CPU for so long and so many looks, or until so many have come (40 MB in ordering.py).
PATIENCE_NS, PATIENCE_LOOKS, PATIENCE_EVENTS = 1_000_000_000, 10, 1_500_000
_FEW = 2048  # slots of all lanes that are handed over together: one call for a lane takes 100 us
_SAMPLES = 64  # slots of a lane whose times stand for those of all its pending slots

_LANE_COUNTERS = (
    "head", "dropped", "failed_allocs", "null_frees", "filtered", "stack_lost", "recovered", "bulk_rest"
)  # fmt: skip
_CPU_COUNTERS = ("too_deep", "without_ring")

Rows = np.ndarray[Any, np.dtype[np.uint64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]
Accept = Callable[[Rows, int | None], None]


@dataclass(frozen=True)
class RingGeometry:
    """Slots per lane: powers of two, 64 bytes each."""

    cpus: int
    task_slots: int

    @property
    def irq_slots(self) -> int:
        """Slots of each of the lanes 1 to LANES - 1."""
        return self.task_slots // IRQ_SHARE

    @property
    def slots_per_cpu(self) -> int:
        """Slots of all lanes of one CPU."""
        return self.task_slots + (LANES - 1) * self.irq_slots

    @property
    def bytes(self) -> int:
        """Memory of all rings."""
        return self.cpus * self.slots_per_cpu * SLOT_BYTES

    def defines(self) -> dict[str, str]:
        """The -D numbers for bpf/ring.h."""
        return {
            "NR_CPUS": str(self.cpus),
            "TASK_SLOTS": f"{self.task_slots}ul",
            "IRQ_SLOTS": f"{self.irq_slots}ul",
        }


class Rings:
    """All lanes of all possible CPUs, mapped."""

    def __init__(self, programs: Programs, geometry: RingGeometry) -> None:
        self.geometry = geometry
        cpus, per_cpu = geometry.cpus, geometry.slots_per_cpu
        self._states = programs.mapped("cpu_states", struct_dtype("ring.h", "cpu_state"), cpus)
        words = programs.mapped("slots", "<u8", cpus * per_cpu * SLOT_WORDS)
        self._slots: Rows = words.reshape(-1, SLOT_WORDS)
        self._heads = self._states["lane"]["head"]
        self._read = self._states["tail"].copy()  # (cpus, LANES): slots read so far
        self._sizes = np.array([geometry.task_slots] + [geometry.irq_slots] * (LANES - 1), dtype=np.uint64)
        self._safe_ns = np.zeros(cpus, dtype=np.int64)
        self._drained = 0  # slots handed over so far
        self._safe_drained = np.zeros(cpus, dtype=np.int64)  # how many when the CPU was last seen idle
        self._looks = np.zeros(cpus, dtype=np.int64)  # calls of `watermark` since then

    def set_vmemmap(self, vmemmap: int) -> None:
        """Give the programs the address of the struct page of address 0 (0: unknown, and so are caches)."""
        self._states["vmemmap"] = vmemmap

    def set_sample(self, one_in: int) -> None:
        """From now on record one in `one_in` addresses, a power of two (bpf/sample.h)."""
        self._states["sample_mask"] = one_in - 1

    def take_no_stacks(self) -> None:
        """From now on record no stacks."""
        self._states["no_stacks"] = 1

    def watermark(self) -> int:
        """The watermark (ns): once all lanes are drained after this call, nothing older can arrive.

        A CPU whose `depth` and `busy` words are 0 after the clock was read has no program in flight, so what
        it writes later has a later time.  A CPU that is busy at every try keeps its earlier time, until
        patience ends: then it is left out, and the events that it has in flight, at most one for each lane,
        will be stored late, and counted.
        """
        self._looks += 1
        for _ in range(_WATERMARK_TRIES):
            now = time.monotonic_ns()
            idle = (self._states["depth"] == 0) & ~self._states["busy"].any(axis=1)
            self._safe_ns[idle] = now - WATERMARK_SLACK_NS
            self._safe_drained[idle], self._looks[idle] = self._drained, 0
            if idle.all():
                break
        waited_for = (now - self._safe_ns < PATIENCE_NS) | (self._looks < PATIENCE_LOOKS)
        waited_for &= self._drained - self._safe_drained < PATIENCE_EVENTS
        return int(self._safe_ns[waited_for].min(initial=now - WATERMARK_SLACK_NS))

    def drain(self, room: int, accept: Accept) -> int | None:
        """Hand over up to `room` committed slots, lane by lane, and free them.

        `accept(rows, cpu)` gets slots of shape (n, 8), valid during the call only: views into the ring, or
        copies of the few slots of all lanes, with cpu None.  Returns None if every lane was emptied, else the
        time (ns) of the oldest slot left: from this time on events are still missing.
        """
        pending = (self._heads - self._read).astype(np.int64)
        lanes = np.argwhere(pending).tolist()
        if int(pending.sum()) <= min(room, _FEW):
            self._hand_over_few(lanes, pending, accept)
            return None
        until = None if int(pending.sum()) <= room else self._time_for(lanes, pending, room)
        left: list[int] = []
        for cpu, lane in lanes:
            available = int(pending[cpu, lane])
            count = available if until is None else self._older(cpu, lane, available, until)
            count = min(count, room)
            room -= count
            self._hand_over(cpu, lane, count, accept)
            if count < available:
                left.append(self._next_ts(cpu, lane, 0))
        return min(left) if left else None

    def _hand_over_few(self, lanes: list[list[int]], pending: Counts, accept: Accept) -> None:
        parts: list[Rows] = []
        for cpu, lane in lanes:
            self._hand_over(cpu, lane, int(pending[cpu, lane]), lambda rows, _: parts.append(rows.copy()))
        if parts:
            accept(np.concatenate(parts), None)

    def _time_for(self, lanes: list[list[int]], pending: Counts, room: int) -> int:
        """A time (ns) such that about `room` pending slots are older, by a few slots of each lane.

        All lanes are drained to this time, however unevenly they are filled, so that few events have to wait
        for the watermark.
        """
        times: list[int] = []
        weights: list[float] = []
        for cpu, lane in lanes:
            step = max(1, int(pending[cpu, lane]) // _SAMPLES)
            positions = range(step - 1, int(pending[cpu, lane]), step)
            times += [self._next_ts(cpu, lane, position) for position in positions]
            weights += [step] * len(positions)
        order = np.argsort(times)
        reached = np.cumsum(np.array(weights)[order])
        return times[int(order[max(0, int(np.searchsorted(reached, room)) - 1)])]

    def _older(self, cpu: int, lane: int, available: int, until: int) -> int:
        """How many of the `available` slots of a lane are not newer than `until` (ns).  Lanes are ordered."""
        low, high = 0, available
        while low < high:
            middle = (low + high) // 2
            if self._next_ts(cpu, lane, middle) <= until:
                low = middle + 1
            else:
                high = middle
        return low

    def _base(self, cpu: int, lane: int) -> int:
        """Index of a lane's first slot."""
        before = self.geometry.task_slots + (lane - 1) * self.geometry.irq_slots if lane else 0
        return cpu * self.geometry.slots_per_cpu + before

    def _next_ts(self, cpu: int, lane: int, position: int) -> int:
        """Time (ns) of the slot that is `position` slots after the next one to read."""
        index = (int(self._read[cpu, lane]) + position) & (int(self._sizes[lane]) - 1)
        return int(self._slots[self._base(cpu, lane) + index, 0])

    def _hand_over(self, cpu: int, lane: int, count: int, accept: Accept) -> None:
        """Hand over `count` slots of one lane, in at most two runs, and move its tail."""
        size, base = int(self._sizes[lane]), self._base(cpu, lane)
        first = int(self._read[cpu, lane]) & (size - 1)
        run = min(count, size - first)
        for start, length in ((base + first, run), (base, count - run)):
            if length:
                accept(self._slots[start : start + length], cpu)
        self._drained += count
        self._read[cpu, lane] += np.uint64(count)
        self._states["tail"][cpu, lane] = self._read[cpu, lane]

    def fill(self) -> float:
        """How full the fullest lane is, 0 to 1."""
        return float(((self._heads - self._read) / self._sizes).max())

    @property
    def lost(self) -> int:
        """Events so far for which there was no slot, no lane or no ring."""
        lanes = self._states["lane"]
        per_cpu = self._states["too_deep"].sum() + self._states["without_ring"].sum()
        return int(lanes["dropped"].sum() + lanes["bulk_rest"].sum() + per_cpu)

    def counters(self) -> dict[str, np.ndarray[Any, np.dtype[np.uint64]]]:
        """The programs' counters so far, each summed over lanes, shape (cpus,), uint64."""
        lanes = self._states["lane"]
        sums = {name: lanes[name].sum(axis=1) for name in _LANE_COUNTERS}
        return sums | {name: self._states[name].copy() for name in _CPU_COUNTERS}
