# SPDX-License-Identifier: Apache-2.0
"""The consumer's side of bpf/ring.h: hand over what is committed, then free it.

A poll reads all heads at once, and hands over each lane's run of slots, and of repeats, as one NumPy view.
There is no system call, no wake-up, and no Python code per event.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from slabtrace.capture.programs.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.capture.programs.loading import Programs
from slabtrace.capture.stream.lanes import LaneRings, Rows
from slabtrace.capture.stream.repeated import Places, SlotPlaces

LANES = header_numbers("ring.h")["LANES"]
REPEATS = header_numbers("ring.h")["REPEATS"]  # for each slot
SLOT_BYTES = event_dtype().itemsize
SLOT_WORDS = SLOT_BYTES // 8
REPEAT_BYTES = struct_dtype("event.h", "repeat_event").itemsize
REPEAT_WORDS = REPEAT_BYTES // 8
IRQ_SHARE = 16  # every other lane has 1/16 of the slots of task context

# A program stores `depth` before it reads the clock, but the store may still be in the CPU's store buffer
# when the clock is read.  The buffer drains in well under a microsecond, so this is more than enough.
WATERMARK_SLACK_NS = 100_000
_WATERMARK_TRIES = 8
# A task that is preempted inside a program, and does not run again, keeps its CPU from being seen idle.
# Events wait for such a CPU for so long and so many looks, or until so many have come (40 MB in ordering.py).
PATIENCE_NS, PATIENCE_LOOKS, PATIENCE_EVENTS = 1_000_000_000, 10, 1_500_000
_FEW = 2048  # events of all lanes that are handed over together: one call for a lane takes 100 us
_SAMPLES = 64  # events of a lane whose times stand for those of all its pending ones

_LANE_COUNTERS = (
    "head", "repeats", "dropped", "failed_allocs", "null_frees", "filtered", "stack_lost", "recovered",
    "bulk_rest",
)  # fmt: skip
_CPU_COUNTERS = ("too_deep", "without_ring")


class Taker(Protocol):
    """Takes what is drained.  The arrays are valid during the call only.

    `places`, shape (n,): of slots, where their sites are to be remembered; of repeats, where the site of each
    is found (repeated.py).
    """

    def accept(self, rows: Rows, cpu: int | None, places: Places) -> None:
        """Slots of one CPU (None: each slot names its own), shape (n, 8), in the order of commits."""

    def accept_repeats(self, rows: Rows, cpu: Any, places: Places) -> None:
        """Repeats, shape (n, 3), of a CPU, or each of its own: `cpu` of shape (n,)."""


@dataclass(frozen=True)
class RingGeometry:
    """Slots per lane: powers of two, 64 bytes each, with so many repeats of 24 bytes each."""

    cpus: int
    task_slots: int
    repeats: int = REPEATS  # for each slot; 0 in survivors mode

    @property
    def slot_bytes(self) -> int:
        """Of a slot with its repeats."""
        return SLOT_BYTES + self.repeats * REPEAT_BYTES

    @property
    def irq_slots(self) -> int:
        """Slots of each of the lanes 1 to LANES - 1."""
        return self.task_slots // IRQ_SHARE

    @property
    def lane_slots(self) -> list[int]:
        """Slots of each lane of one CPU."""
        return [self.task_slots] + [self.irq_slots] * (LANES - 1)

    @property
    def slots_per_cpu(self) -> int:
        """Slots of all lanes of one CPU."""
        return sum(self.lane_slots)

    @property
    def bytes(self) -> int:
        """Memory of all rings."""
        return self.cpus * self.slots_per_cpu * self.slot_bytes

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
        cpus, slots = geometry.cpus, geometry.cpus * geometry.slots_per_cpu
        self._states = programs.mapped("cpu_states", struct_dtype("ring.h", "cpu_state"), cpus)
        lanes, sizes = self._states["lane"], geometry.lane_slots
        words = programs.mapped("slots", "<u8", slots * SLOT_WORDS).reshape(-1, SLOT_WORDS)
        self._slots = LaneRings(words, lanes["head"], self._states["tail"], sizes)
        self.places = SlotPlaces(cpus, sizes)
        self._rings = [self._slots]
        if geometry.repeats:
            words = programs.mapped("repeats", "<u8", slots * geometry.repeats * REPEAT_WORDS)
            words, sizes = words.reshape(-1, REPEAT_WORDS), [size * geometry.repeats for size in sizes]
            self._rings.append(LaneRings(words, lanes["repeats"], self._states["repeats_tail"], sizes))
        self._safe_ns = np.zeros(cpus, dtype=np.int64)
        self._drained = 0  # events handed over so far
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

    def drain(self, room: int, taker: Taker) -> int | None:
        """Hand over about `room` committed events, lane by lane, and free their places.

        Slots come before the repeats that name them.  Returns None if every lane was emptied, else the time
        (ns) of the oldest event left: from this time on events are still missing.
        """
        # repeats are looked at first: then the slots that they name are there
        pending = sum(ring.look() for ring in reversed(self._rings))
        if pending <= min(room, _FEW):
            self._hand_over_few(taker)
            self._drained += pending
            return None
        until = None if pending <= room else self._time_for(room)
        left: list[int] = []
        for ring in self._rings:
            for cpu, lane, available in ring.lanes():
                count = available if until is None else ring.older(cpu, lane, until)
                for number, rows in ring.runs(cpu, lane, count):
                    self._hand_over(ring, cpu, lane, number, rows, taker)
                self._drained += count
                if count < available:
                    left.append(ring.time(cpu, lane, 0))
        return min(left) if left else None

    def _hand_over(self, ring: LaneRings, cpu: int, lane: int, number: int, rows: Rows, taker: Taker) -> None:
        if ring is self._slots:
            taker.accept(rows, cpu, self.places.of_slots(cpu, lane, number, len(rows)))
        else:
            taker.accept_repeats(rows, cpu, self.places.of_repeats(cpu, lane, rows))

    def _hand_over_few(self, taker: Taker) -> None:
        """All of all lanes in two calls."""
        collector = _Collector()
        for ring in self._rings:
            for cpu, lane, count in ring.lanes():
                for number, rows in ring.runs(cpu, lane, count):
                    self._hand_over(ring, cpu, lane, number, rows, collector)
        collector.hand_over(taker)

    def _time_for(self, room: int) -> int:
        """A time (ns) such that about `room` pending events are older, by a few of each lane.

        All lanes are drained to this time, however unevenly they are filled, so that few events have to wait
        for the watermark.
        """
        times: list[int] = []
        weights: list[float] = []
        for ring in self._rings:
            for cpu, lane, pending in ring.lanes():
                step = max(1, pending // _SAMPLES)
                positions = range(step - 1, pending, step)
                times += [ring.time(cpu, lane, position) for position in positions]
                weights += [step] * len(positions)
        order = np.argsort(times)
        reached = np.cumsum(np.array(weights)[order])
        return times[int(order[max(0, int(np.searchsorted(reached, room)) - 1)])]

    def fill(self) -> float:
        """How full the fullest ring is, 0 to 1."""
        return max(ring.fill() for ring in self._rings)

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


class _Collector:
    """A taker of copies, which it hands over together."""

    def __init__(self) -> None:
        self._slots: list[tuple[Rows, Places]] = []
        self._repeats: list[tuple[Rows, Places, int]] = []

    def accept(self, rows: Rows, cpu: int | None, places: Places) -> None:
        self._slots.append((rows.copy(), places))

    def accept_repeats(self, rows: Rows, cpu: Any, places: Places) -> None:
        self._repeats.append((rows.copy(), places, cpu))

    def hand_over(self, taker: Taker) -> None:
        if self._slots:
            rows, places = (np.concatenate(parts) for parts in zip(*self._slots, strict=True))
            taker.accept(rows, None, places)
        if self._repeats:
            lengths = [len(rows) for rows, _, _ in self._repeats]
            cpus = np.repeat([cpu for _, _, cpu in self._repeats], lengths)
            rows, places = (np.concatenate([each[i] for each in self._repeats]) for i in (0, 1))
            taker.accept_repeats(rows, cpus, places)
