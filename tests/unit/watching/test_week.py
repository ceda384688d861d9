# SPDX-License-Identifier: Apache-2.0
"""A week of `slabtrace watch`: a slow leak is found when it can be, memory stays flat, the disk in bounds.

The clock is simulated; parts are written by the series' own writer and judged by `slabtrace digest`.
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import pytest

from slabtrace.watching.judgement import Judgement
from slabtrace.watching.room import bytes_of
from slabtrace.watching.service import Service
from slabtrace.watching.settings import Settings
from slabtrace.watching.triggers import parse_trigger
from tests.unit.synthetic import Event, alloc, free
from tests.unit.watching.fake import START_S
from tests.unit.watching.simulated import S, SimulatedMachine

MINUTE, HOUR, DAY = 60, 3600, 86_400
STEP_S = 600
LEAK, RING, CHURN = 0x100, 0x500, 0x300
LEAK_PER_DAY = DAY // MINUTE
RING_SIZE = 40


def load() -> list[Event]:
    """A leak of one object a minute, beside objects that are replaced, and others that live for minutes."""
    events = [
        alloc(at * S + 7_000_000, 1 << 20 | at << 8, call_site=LEAK) for at in range(31, 7 * DAY, MINUTE)
    ]
    for number, at in enumerate(range(901, 7 * DAY, 1800)):
        slot = 1 << 40 | number % RING_SIZE << 8
        events += [free(at * S, slot, call_site=0x600), alloc(at * S + 10, slot, call_site=RING)]
    for number, at in enumerate(range(177, 7 * DAY - HOUR, 360)):
        slot = 1 << 44 | number << 8
        events += [alloc(at * S + 3, slot, call_site=CHURN), free((at + 20 + number % 7 * 60) * S, slot)]
    return sorted(events, key=lambda event: event.ts)


def deep_size(root: object, without: list[object]) -> int:
    """Bytes of all that `root` holds, of plain objects, without what others hold as well."""
    seen, waiting, total = {id(each) for each in without}, [root], 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type | ModuleType | FunctionType | MethodType):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        waiting += gc.get_referents(each)
    return total


class Watched:
    """A service on a simulated machine, and what was seen of it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            folder=folder, rotate=6 * HOUR, keep=24, disk=4 << 20, every=3 * STEP_S, cpu=0.01,
            when=(parse_trigger("finding"),), on_finding=("page",),
        )  # fmt: skip
        self.machine = SimulatedMachine(events=load())
        self.service = Service(lambda: self.settings, self.machine, self.machine.said.append)
        self.judgements: list[tuple[float, Judgement]] = []
        taken = self.service.take

        def take(judgement: Judgement) -> None:
            self.judgements.append((self.machine.seconds, judgement))
            taken(judgement)

        self.service.take = take  # type: ignore[method-assign]
        self.disk: list[int] = []

    def until(self, end_s: float) -> None:
        while self.machine.seconds < end_s:
            self.machine.advance(STEP_S)
            for _ in range(3):  # what one step begins, another looks at
                self.service.step()
            self.disk.append(bytes_of(self.settings.folder))

    def size(self) -> int:
        self.judgements, last = self.judgements[-1:], self.judgements
        size = deep_size(self.service, [self.machine, self.machine.said, self.settings])
        self.judgements = last
        return size


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    watched = Watched(tmp_path_factory.mktemp("watch"))
    watched.service.step()
    watched.until(6 * HOUR + 2 * STEP_S)
    watched.machine.judging_cpu_s = 0.01 * 12 * HOUR  # from now on it is judged every twelve hours
    watched.until(2 * DAY)
    sizes = [watched.size()]
    watched.until(7 * DAY)
    sizes.append(watched.size())
    watched.service.end()
    watched.service.judge_last()
    while not watched.service.step_to_end():
        pass
    return {"watched": watched, "sizes": sizes}


def first(judgements: list[tuple[float, Judgement]], **facts: str) -> float:
    """The first judgement with these facts that would have found such a leak, by its own limit."""
    return next(
        at
        for at, judged in judgements
        if (judged.facts["least_per_day"] or 1e9) <= LEAK_PER_DAY and facts.items() <= judged.facts.items()
    )


def test_the_leak_is_found_when_the_limit_of_a_judgement_says_so(week: dict[str, Any]) -> None:
    watched: Watched = week["watched"]
    (found,) = (each for each in watched.service.known.all() if each.objects > 1000)
    assert found.class_ == "suspect" and found.present
    assert found.first_seen_s - START_S <= first(watched.judgements) <= 2 * HOUR
    assert found.first_seen_boot_s == pytest.approx(found.first_seen_s - START_S + 1, abs=1)
    assert found.since_s == pytest.approx(START_S + 31, abs=2)
    assert found.objects == 7 * LEAK_PER_DAY
    (command,) = watched.machine.started("page")  # begun when it was a suspect for the first time
    assert command.at_s == first(watched.judgements, status="complete") <= 6 * HOUR + 2 * STEP_S


def test_what_comes_and_goes_is_no_finding(week: dict[str, Any]) -> None:
    suspects = [each for each in week["watched"].service.known.all() if each.class_ == "suspect"]
    assert [each.objects for each in suspects] == [7 * LEAK_PER_DAY]


def test_its_memory_is_flat(week: dict[str, Any]) -> None:
    second_day, seventh_day = week["sizes"]
    assert seventh_day < 1.1 * second_day + 4096
    assert seventh_day < 1 << 20


def test_its_disk_stays_within_the_bound_and_old_parts_had_to_go(week: dict[str, Any]) -> None:
    watched: Watched = week["watched"]
    assert max(watched.disk) <= watched.settings.disk
    parts = watched.service.recorder.parts()
    assert 2 <= len(parts) < 24 and parts[-1].name.endswith(".0028.slab")


def test_judging_takes_its_share_of_a_cpu(week: dict[str, Any]) -> None:
    watched: Watched = week["watched"]
    assert len(watched.machine.judged_at) >= 12 + 12
    assert watched.service.judge.cpu_s < 0.011 * 7 * DAY


def test_a_recording_and_a_command_once(week: dict[str, Any]) -> None:
    machine = week["watched"].machine
    assert len(machine.started("--stacks=all")) == len(machine.started("report")) == 1
    (command,) = machine.started("page")
    given = json.loads(command.given)
    assert (given["class"], given["cache"]) == ("suspect", "kmalloc-64")
    assert given["growth_certain_bytes_per_s"] <= 64 / 60 <= 2 * given["growth_bytes_per_s"]


def test_the_state_says_so(week: dict[str, Any]) -> None:
    state = json.loads((week["watched"].settings.folder / "watch.json").read_text())
    assert state["findings"][0]["objects"] == 7 * LEAK_PER_DAY
    assert state["counts"]["triggered"] == {"recorded": 1, "failed": 0, "too_many": 0}
    assert "1 suspected leak" in state["verdict"] and state["lost"] == 0
