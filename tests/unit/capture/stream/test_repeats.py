# SPDX-License-Identifier: Apache-2.0
"""Repeats come out as the events that they stand for, however rings are drained and counters wrap."""

from __future__ import annotations

import random

import numpy as np
import pytest

from slabtrace.capture.programs.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.capture.stream.intake import Intake
from slabtrace.capture.stream.repeated import REMEMBERED
from slabtrace.capture.stream.rings import REPEATS, RingGeometry, Rings
from slabtrace.capture.stream.sites import SiteTable
from tests.unit.capture.stream.made_up_rings import Memory

GEOMETRY = RingGeometry(cpus=2, task_slots=64)
SPAN = GEOMETRY.task_slots // header_numbers("repeats.h")["SLOT_SPAN"]
Event = tuple[int, int, int, int, int]  # ts_ns, ptr, call_site, tid, cpu
TASKS = {11: 10, 12: 12, 13: 10}  # {tid: tgid}


class Programs:
    """What bpf/repeats.h does, with memory for two sites of each CPU: so sites are forgotten often."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.sites: dict[tuple[int, int], tuple[int, int]] = {}
        self.tasks: dict[tuple[int, int], int] = {}
        self.repeats = 0

    def event(self, event: Event) -> bool:
        """False: there is no room."""
        ts_ns, ptr, call_site, tid, cpu = event
        states = self.memory.states
        head, tail = int(states["lane"]["head"][cpu, 0]), int(states["tail"][cpu, 0])
        key, slot = self.sites.get((cpu, call_site % 2), (0, 0))
        near = (head - slot) % 2**64 < SPAN
        if key == call_site and near and self.tasks.get((cpu, tid % 2)) == tid:
            lane_repeats, read = states["lane"]["repeats"][cpu, 0], states["repeats_tail"][cpu, 0]
            if int(lane_repeats) - int(read) >= GEOMETRY.task_slots * REPEATS:
                return False
            self.memory.repeat(cpu, ts_ns, ptr, slot, tid)
            self.repeats += 1
            return True
        if (head - tail) % 2**64 >= GEOMETRY.task_slots:
            return False
        self.memory.commit(cpu, 1, ts_ns)
        place = cpu * GEOMETRY.slots_per_cpu + head % GEOMETRY.task_slots
        slots = self.memory.slots.view(event_dtype())
        slots["ptr"][place], slots["call_site"][place], slots["kind"][place] = ptr, call_site, 1
        slots["tid"][place], slots["tgid"][place] = tid, TASKS[tid]
        self.sites[cpu, call_site % 2] = call_site, head
        self.tasks[cpu, tid % 2] = tid
        return True


def taken(intake: Intake, names: list[int]) -> list[Event]:
    batch = intake.take()
    names += intake.sites.take_new()["call_site"].tolist()
    columns = (batch.ts_ns, batch.ptr, batch.site, batch.tid, batch.cpu)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [(ts_ns, ptr, names[site], tid, cpu) for ts_ns, ptr, site, tid, cpu in rows]


@pytest.mark.parametrize("at", [0, 2**32 - 7, 2**64 - 20])
@pytest.mark.parametrize("seed", range(5))
def test_every_event_comes_out_as_it_was(at: int, seed: int) -> None:
    chance = random.Random(seed)
    memory = Memory(at, GEOMETRY)
    rings, programs = Rings(memory, GEOMETRY), Programs(memory)  # type: ignore[arg-type]
    intake, names = Intake(SiteTable(), places=rings.places.count), []  # type: ignore[var-annotated]
    made: list[Event] = []
    found: list[Event] = []
    sites = range(4096, 4096 + chance.choice([2, 3, 9]))
    for ts_ns in range(1, 4000):
        tid = chance.choice([11] * 5 + [12, 13])
        event = (ts_ns, 64 * ts_ns, chance.choice(sites), tid, chance.choice([0, 0, 1]))
        if programs.event(event):
            made.append(event)
        if chance.random() < chance.choice([0.001, 0.05]):
            left = rings.drain(chance.choice([5, 40, 10_000]), intake)
            found += taken(intake, names)
            assert left is None or left == min(
                {event[0] for event in made[-1000:]} - {row[0] for row in found}
            )
    while rings.drain(100, intake) is not None:
        pass
    found += taken(intake, names)
    assert sorted(found) == made
    assert programs.repeats > 200 and len(names) == len(sites)


def test_many_repeats_of_one_slot_and_none_of_it_is_lost() -> None:
    """More than the places are long, though its slot is never written again."""
    memory = Memory(0, GEOMETRY)
    rings, programs = Rings(memory, GEOMETRY), Programs(memory)  # type: ignore[arg-type]
    intake, names = Intake(SiteTable(), places=rings.places.count), []  # type: ignore[var-annotated]
    made = [(ts_ns, 8, 4096, 11, 0) for ts_ns in range(1, 20 * GEOMETRY.task_slots)]
    found = []
    for event in made:
        assert programs.event(event)
        if event[0] % 100 == 0:
            assert rings.drain(1000, intake) is None
            found += taken(intake, names)
    assert rings.drain(1000, intake) is None
    assert found + taken(intake, names) == made
    assert memory.states["lane"]["head"][0, 0] == 1


def test_a_repeat_has_three_words_of_which_the_last_is_slot_and_tid() -> None:
    """intake.py and repeated.py take them apart."""
    repeat = struct_dtype("event.h", "repeat_event")
    assert repeat.itemsize == 24 and repeat.names == ("ts_ns", "ptr", "slot", "tid")
    assert [repeat.fields[name][1] for name in repeat.names or ()] == [0, 8, 16, 20]  # type: ignore[index]


def test_the_places_of_lanes_do_not_overlap() -> None:
    rings = Rings(Memory(0, GEOMETRY), GEOMETRY)  # type: ignore[arg-type]
    every = [
        rings.places.of_slots(cpu, lane, number, REMEMBERED * size)
        for cpu in range(2)
        for lane, size in enumerate(GEOMETRY.lane_slots)
        for number in (2**64 - 3,)
    ]
    assert sorted(np.concatenate(every).tolist()) == list(range(rings.places.count))
