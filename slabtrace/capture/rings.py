# SPDX-License-Identifier: Apache-2.0
"""The consumer's side of the rings of bpf/ring.h: copy what is committed, then give back the slots.

No system call, no wake-up, no per-event Python: a poll reads all heads at once and copies each
lane's run of slots as one slice.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from slabtrace.capture.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.capture.programs import Programs

LANES = header_numbers("ring.h")["LANES"]
SLOT_BYTES = event_dtype().itemsize
SLOT_WORDS = SLOT_BYTES // 8
IRQ_SHARE = 8  # a lane of interrupt context has 1/8 of the slots of task context

# A program stores `depth` before it reads the clock, but the store may linger in the CPU's store
# buffer while the clock is read.  It drains in well under a microsecond; this is ample.
WATERMARK_SLACK_NS = 100_000
_WATERMARK_TRIES = 8

Rows = np.ndarray[tuple[int, int], np.dtype[np.uint64]]


@dataclass(frozen=True)
class RingGeometry:
    """Slots per lane: powers of two, 64 bytes each."""

    cpus: int
    task_slots: int

    @property
    def irq_slots(self) -> int:
        """Slots of each of the lanes 1 .. LANES-1."""
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
    """All lanes of all CPUs, mapped."""

    def __init__(self, programs: Programs, geometry: RingGeometry) -> None:
        self.geometry = geometry
        cpus, per_cpu = geometry.cpus, geometry.slots_per_cpu
        self._states = programs.mapped("cpu_states", struct_dtype("ring.h", "cpu_state"), cpus)
        self._tails = programs.mapped("cpu_tails", struct_dtype("ring.h", "cpu_tails"), cpus)
        words = programs.mapped("slots", "<u8", cpus * per_cpu * SLOT_WORDS)
        self._slots: Rows = words.reshape(-1, SLOT_WORDS)
        self._read = self._tails["tail"].copy()  # (cpus, LANES): how far we have read
        self._sizes = np.array([geometry.task_slots] + [geometry.irq_slots] * (LANES - 1), dtype=np.uint64)
        self._safe_ns = np.zeros(cpus, dtype=np.int64)

    def set_vmemmap(self, vmemmap: int) -> None:
        """Tell the programs where struct pages lie (0: not known, caches stay unknown)."""
        self._states["vmemmap"] = vmemmap

    def watermark(self) -> int:
        """A time (ns) before which nothing can arrive any more, once all lanes are drained after this.

        A CPU whose `depth` is zero after the clock was read has no program in flight: whatever it
        will write carries a later time.  A CPU seen busy each time keeps its earlier bound.
        """
        for _ in range(_WATERMARK_TRIES):
            now = time.monotonic_ns()
            idle = self._states["depth"] == 0
            self._safe_ns[idle] = now - WATERMARK_SLACK_NS
            if idle.all():
                break
        return int(self._safe_ns.min())

    def drain(self, into: Rows, at: int) -> tuple[int, bool]:
        """Copy committed slots to `into[at:]` and free them.

        Returns the next free row of `into`, and whether every lane was emptied.
        """
        heads = self._states["lane"]["head"].copy()
        pending = heads - self._read
        complete = True
        for cpu, lane in np.argwhere(pending):
            room = into.shape[0] - at
            count = int(pending[cpu, lane])
            complete &= count <= room
            at = self._take(int(cpu), int(lane), min(count, room), into, at)
        return at, complete

    def _take(self, cpu: int, lane: int, count: int, into: Rows, at: int) -> int:
        """Copy `count` slots of one lane, in at most two runs, and move its tail."""
        size = int(self._sizes[lane])
        base = cpu * self.geometry.slots_per_cpu + (
            self.geometry.task_slots + (lane - 1) * self.geometry.irq_slots if lane else 0
        )
        first = int(self._read[cpu, lane]) & (size - 1)
        run = min(count, size - first)
        into[at : at + run] = self._slots[base + first : base + first + run]
        into[at + run : at + count] = self._slots[base : base + count - run]
        self._read[cpu, lane] += np.uint64(count)
        self._tails["tail"][cpu, lane] = self._read[cpu, lane]
        return at + count

    def fill(self) -> float:
        """How full the fullest lane is, 0 to 1."""
        return float(((self._states["lane"]["head"] - self._read) / self._sizes).max())

    def counters(self) -> dict[str, np.ndarray[Any, np.dtype[np.uint64]]]:
        """The programs' own counters so far, each of shape (cpus,), summed over lanes."""
        lanes = self._states["lane"]
        names = ("head", "dropped", "failed_allocs", "null_frees", "filtered", "stack_lost", "recovered")
        sums = {name: lanes[name].sum(axis=1) for name in names}
        sums["too_deep"] = self._states["too_deep"].copy()
        return sums
