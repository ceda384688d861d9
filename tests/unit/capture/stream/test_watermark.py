# SPDX-License-Identifier: Apache-2.0
"""The watermark while a task stands still inside a program: memory is bounded, and nothing else is late."""

from __future__ import annotations

import time

import numpy as np
import pytest

from slabtrace.capture.programs.layout import event_dtype
from slabtrace.capture.stream import rings as rings_module
from slabtrace.capture.stream.lanes import Rows
from slabtrace.capture.stream.ordering import TimeMerge
from slabtrace.capture.stream.rings import PATIENCE_EVENTS, PATIENCE_NS, RingGeometry, Rings
from slabtrace.trace.format.batch import EventBatch, concatenate
from tests.unit.capture.stream.made_up_rings import Memory, Slots

BUSY_LANE = 5
POLL_NS = 10_000_000
GEOMETRY = RingGeometry(cpus=2, task_slots=1 << 15)


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 10**12

    def monotonic_ns(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(rings_module, "time", made)
    return made


def batch(rows: Rows, cpu: int | None) -> EventBatch:
    n = len(rows)
    own = rows.view(event_dtype()).reshape(-1)["cpu"]
    return EventBatch(
        rows[:, 0].astype(np.int64),
        np.zeros(n, np.uint64),
        np.zeros(n, np.uint32),
        np.zeros(n, np.uint32),
        own.copy() if cpu is None else np.full(n, cpu, np.uint16),
    )


class Recording:
    """A consumer and its time merge: polls, and remembers the most events that ever waited."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self.memory, self.clock = memory, clock
        self.rings = Rings(memory, GEOMETRY)  # type: ignore[arg-type]
        self.merge = TimeMerge()
        self.most_waiting = self.released = 0

    def poll(self, events: int) -> None:
        """CPU 0 commits `events` in the time that passes; all is drained, and merged."""
        before, self.clock.now = self.clock.now, self.clock.now + POLL_NS
        self.memory.commit(0, events, before)
        watermark = self.rings.watermark()
        parts: list[EventBatch] = []
        self.rings.drain(1 << 20, Slots(lambda rows, cpu: parts.append(batch(rows.copy(), cpu))))
        self.released += self.merge.merge(concatenate(parts), watermark).size
        self.most_waiting = max(self.most_waiting, sum(run.size for run in self.merge.waiting))


def stand_still(recording: Recording, events: int, polls: int) -> int:
    """A task on CPU 1 stands in a program meanwhile; returns the time that its event then has."""
    begun = recording.clock.now
    recording.memory.states["busy"][1, BUSY_LANE] = 1
    for _ in range(polls):
        recording.poll(events)
    return begun


def go_on(recording: Recording, event_ns: int) -> None:
    """It commits its event, and leaves its lane."""
    slots = recording.memory.slots.reshape(-1, 8)
    first = GEOMETRY.slots_per_cpu + GEOMETRY.task_slots + (BUSY_LANE - 1) * GEOMETRY.irq_slots
    slots[first, 0] = event_ns
    recording.memory.states["lane"]["head"][1, BUSY_LANE] += np.uint64(1)
    recording.memory.states["busy"][1, BUSY_LANE] = 0


def test_thirty_seconds_inside_a_program(clock: Clock) -> None:
    """At 100,000 events/s those of a second wait.  The one event that was held up is late, no other."""
    recording, per_poll = Recording(Memory(0, GEOMETRY), clock), 1_000
    for _ in range(10):
        recording.poll(per_poll)
    held = stand_still(recording, per_poll, 3_000)
    assert recording.most_waiting <= (PATIENCE_NS // POLL_NS + 1) * per_poll
    assert recording.merge.late == 0
    go_on(recording, held)
    for _ in range(10):
        recording.poll(per_poll)
    assert recording.merge.late == 1
    rest = recording.merge.merge(batch(np.zeros((0, 8), np.uint64), 0), None).size
    assert recording.released + rest == 3_020 * per_poll + 1


def test_a_high_rate_does_not_wait_for_a_second(clock: Clock) -> None:
    """At 3 million events/s they wait until there are PATIENCE_EVENTS."""
    recording, per_poll = Recording(Memory(0, GEOMETRY), clock), 30_000
    recording.poll(per_poll)
    stand_still(recording, per_poll, 120)
    assert PATIENCE_EVENTS - 2 * per_poll <= recording.most_waiting <= PATIENCE_EVENTS + 2 * per_poll
    assert recording.merge.late == 0


def test_a_recorder_that_was_stopped_looks_again_before_it_loses_patience(clock: Clock) -> None:
    """After a pause of ten seconds, a program that happens to be in flight is waited for."""
    recording = Recording(Memory(0, GEOMETRY), clock)
    recording.poll(10)
    clock.now += 10 * PATIENCE_NS
    held = stand_still(recording, 10, 2)
    go_on(recording, held)
    recording.poll(10)
    assert recording.merge.late == 0


def test_runs_that_wait_are_not_copied_again() -> None:
    merge = TimeMerge()
    rows = np.zeros((4, 8), np.uint64)
    rows[:, 0] = [5, 6, 7, 8]
    merge.merge(batch(rows, 0), 1)
    kept = merge.waiting[0].ts_ns
    for _ in range(3):
        merge.merge(batch(np.zeros((0, 8), np.uint64), 0), 2)
    assert merge.waiting[0].ts_ns is kept
    assert kept.base is None  # and is no view of the batch it came with


def test_the_clock_of_the_watermark_is_that_of_the_programs() -> None:
    """Without a made-up clock: an idle machine's watermark is now, less the slack."""
    rings = Rings(Memory(0, GEOMETRY), GEOMETRY)  # type: ignore[arg-type]
    before = time.monotonic_ns()
    assert before - rings_module.WATERMARK_SLACK_NS <= rings.watermark() <= time.monotonic_ns()


def test_the_few_events_of_all_lanes_come_in_one_call_each_with_its_cpu() -> None:
    memory = Memory(geometry=GEOMETRY)
    rings, taken = Rings(memory, GEOMETRY), []  # type: ignore[arg-type]
    memory.commit(0, 3, 100)
    memory.commit(1, 2, 50)
    assert rings.drain(1000, Slots(lambda rows, cpu: taken.append(batch(rows, cpu)))) is None
    (found,) = taken
    assert (found.ts_ns.tolist(), found.cpu.tolist()) == ([100, 101, 102, 50, 51], [0, 0, 0, 1, 1])
    assert memory.states["tail"][:, 0].tolist() == [3, 2]
    assert rings.drain(1000, Slots(lambda rows, cpu: taken.append(batch(rows, cpu)))) is None
    assert len(taken) == 1
    memory.commit(0, 3000, 200)
    memory.commit(1, 1, 60)
    assert rings.drain(5000, Slots(lambda rows, cpu: taken.append(batch(rows, cpu)))) is None
    assert [each.cpu.tolist() for each in taken[1:]] == [[0] * 3000, [1]]
