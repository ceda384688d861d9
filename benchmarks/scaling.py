# SPDX-License-Identifier: Apache-2.0
"""How the recorder scales to more CPUs: its two threads on simulated rings of 1 to 128 CPUs.

The rings are plain memory, but the events are recorded (a pipe is opened and closed in a loop), and
the recorder's own code drains, orders and stores them: Rings and Intake in one thread, TimeMerge and
TraceWriter in the other.  The CPU time of each is measured, one after the other, so that two CPUs are
enough to simulate 128.

A row has the number of events in a lane at each poll (at RATE events a second in total, with the
recorder's own pauses), the cost of an event in each thread, and the highest rate of the slower thread.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import slabtrace
from benchmarks import machine
from benchmarks.loads import Load
from benchmarks.table import print_table
from benchmarks.tracers import slabtrace as recording
from slabtrace.capture.programs.layout import event_dtype
from slabtrace.capture.recorder import _FILL_TARGET
from slabtrace.capture.stream.intake import Intake
from slabtrace.capture.stream.ordering import TimeMerge
from slabtrace.capture.stream.rings import RingGeometry, Rings
from slabtrace.capture.stream.sites import SiteTable
from slabtrace.trace.manifest import Manifest
from slabtrace.trace.writing.writer import TraceWriter

CPUS = (1, 2, 8, 32, 128)
RATE = 20_000_000  # events a second, all CPUs together
POLL_S = 0.025  # the recorder's longest pause, used while lanes are less than 5 % full
LANE_SLOTS = 1 << 20  # at most, with the recorder's default buffers
EVENTS = 6_000_000  # for each row
RECORDED_S = 1.0
_SITE = ("kind", "flags", "call_site", "cache", "bytes_req", "bytes_alloc", "gfp_flags", "node", "stack_id")


class Costs(NamedTuple):
    """CPU time of each thread (ns per event) and stored size (bytes per event)."""

    cpus: int
    in_a_lane: int
    consumer_ns: float
    storing_ns: float
    stored_bytes: float

    @property
    def keeps_up(self) -> float:
        """Events a second at which the slower thread uses a whole CPU."""
        return 1e9 / max(self.consumer_ns, self.storing_ns)


class Memory:
    """Replaces the BPF programs: its maps are plain memory."""

    def mapped(self, name: str, dtype: Any, count: int) -> np.ndarray[Any, Any]:
        """Zeroed memory, as Programs.mapped would map it."""
        return np.zeros(count, dtype)


def recorded_slots(folder: Path) -> np.ndarray[Any, np.dtype[np.void]]:
    """Record a load on every CPU; its events as slots of the rings (event_dtype), ordered by time."""
    with ExitStack() as stack:
        loads = [stack.enter_context(Load("pipes", cpu)) for cpu in sorted(os.sched_getaffinity(0))]
        with recording(folder):
            for load in loads:
                load.begin("secs", RECORDED_S)
            for load in loads:
                load.finish()
    trace = slabtrace.open(folder / "t.slab")
    parts = []
    for batch in trace.events():
        part = np.zeros(batch.num_rows, event_dtype())
        for name in ("ts_ns", "ptr", "tid", "cpu", *_SITE):
            part[name] = batch.column(name).to_numpy(zero_copy_only=False)
        part["tgid"] = part["tid"]
        parts.append(part)
    slots = np.concatenate(parts)
    _, number = np.unique(slots[[*_SITE]], return_inverse=True)
    slots["reserved"] = number  # for Programs.write; no more than some hundred
    return slots


class Programs:
    """Writes into task lanes what the BPF programs do: a slot for the first event of a site, then repeats."""

    def __init__(self, rings: Rings, slots: np.ndarray[Any, np.dtype[np.void]]) -> None:
        self._rings = rings
        self._slot_of = np.full((rings.geometry.cpus, int(slots["reserved"].max()) + 1), -1)

    def write(self, part: np.ndarray[Any, Any]) -> None:
        """Commit events of shape (cpus, n)."""
        for cpu, events in enumerate(part):
            site = events["reserved"]
            new = np.flatnonzero(self._slot_of[cpu, site] < 0)
            _, first = np.unique(site[new], return_index=True)
            in_slots = np.sort(new[first])
            head = int(self._rings._states["lane"]["head"][cpu, 0])
            self._slot_of[cpu, site[in_slots]] = head + np.arange(len(in_slots))
            self._commit("slots", cpu, events[in_slots].view(np.uint64).reshape(-1, 8))
            rest = np.ones(len(events), bool)
            rest[in_slots] = False
            last = events["tid"][rest].astype(np.uint64) << np.uint64(32)
            last |= self._slot_of[cpu, site[rest]].astype(np.uint64)
            times = events["ts_ns"][rest], events["ptr"][rest]
            self._commit("repeats", cpu, np.stack([*times, last], axis=1))

    def _commit(self, what: str, cpu: int, rows: np.ndarray[Any, Any]) -> None:
        geometry, lanes = self._rings.geometry, self._rings._states["lane"]
        times = 1 if what == "slots" else geometry.repeats
        heads = lanes["head" if what == "slots" else "repeats"]
        size = geometry.task_slots * times
        index = np.arange(int(heads[cpu, 0]), int(heads[cpu, 0]) + len(rows)) & (size - 1)
        self._rings._rings[times > 1]._words[cpu * geometry.slots_per_cpu * times + index] = rows
        heads[cpu, 0] += np.uint64(len(rows))


def rounds(slots: np.ndarray[Any, Any], cpus: int, in_a_lane: int) -> Iterator[np.ndarray[Any, Any]]:
    """What the CPUs write between two polls, shape (cpus, in_a_lane), each from its own part of `slots`."""
    length = cpus * in_a_lane
    stretch = len(slots) // cpus
    span = int(slots["ts_ns"][-1] - slots["ts_ns"][0])
    for number in range(max(1, EVENTS // length)):
        begin = (number * in_a_lane) % (stretch - in_a_lane)
        part = np.stack([slots[cpu * stretch + begin :][:in_a_lane] for cpu in range(cpus)])
        # all CPUs begin at the same time, and each round after the one before it
        part["ts_ns"] += number * span - part["ts_ns"][:, :1]
        yield part


def measure(slots: np.ndarray[Any, Any], cpus: int, folder: Path) -> Costs:
    """Fill the rings, drain and store them, until EVENTS are stored."""
    in_a_lane = max(1, min(int(LANE_SLOTS * _FILL_TARGET), int(RATE * POLL_S / cpus)))
    lane_slots = 1 << (2 * in_a_lane).bit_length()
    rings = Rings(Memory(), RingGeometry(cpus, lane_slots))  # type: ignore[arg-type]
    intake, merge = Intake(SiteTable(), places=rings.places.count), TimeMerge()
    programs = Programs(rings, slots)
    writer = TraceWriter(folder / f"{cpus}.slab", Manifest())
    taken = stored = 0.0
    events = 0
    for part in rounds(slots, cpus, in_a_lane):
        programs.write(part)
        left: int | None = 0
        while left is not None:
            begun = time.thread_time()
            left = rings.drain(intake.room, intake)
            full = left is not None or intake.room < 1 << 14
            batch = intake.take() if full else None
            intake.sites.take_new()
            between = time.thread_time()
            if batch is not None:
                writer.events(merge.merge(batch, left))
            taken, stored = taken + between - begun, stored + time.thread_time() - between
        events += part.size
    writer.events(merge.merge(intake.take(), None))
    size = writer.bytes / events
    writer.close("complete")
    return Costs(cpus, in_a_lane, taken / events * 1e9, stored / events * 1e9, size)


def main(quick: bool) -> None:
    """Print one table."""
    print(f"### Scaling: {RATE / 1e6:.0f} M events a second from 1 to 128 CPUs, on simulated rings\n")
    with tempfile.TemporaryDirectory(prefix="slabtrace-scaling-") as name:
        slots = recorded_slots(Path(name))
        rows = []
        for cpus in CPUS[:2] if quick else CPUS:
            machine.note(f"scaling: {cpus} CPUs")
            rows.append(measure(slots, cpus, Path(name)))
    print_table(
        ("CPUs", "events in a lane", "consumer ns/event", "storing ns/event", "bytes/event", "keeps up with"),
        [
            (
                str(each.cpus),
                f"{each.in_a_lane:,}",
                f"{each.consumer_ns:.0f}",
                f"{each.storing_ns:.0f}",
                f"{each.stored_bytes:.1f}",
                f"{each.keeps_up / 1e6:.1f} M/s",
            )
            for each in rows
        ],
    )
