# SPDX-License-Identifier: Apache-2.0
"""What texts say of lost events, and between which times these were lost."""

from __future__ import annotations

import pytest

from tests.unit.importing.imports import HEADER, alloc, line, read

SECOND = 1_000_000_000


def events(*seconds_and_cpus: tuple[float, int]) -> list[str]:
    return [line(alloc(0xFFFF888000000040 * n), *each) for n, each in enumerate(seconds_and_cpus, 1)]


@pytest.mark.parametrize(
    ("marker", "count"),
    [
        ("CPU:1 [LOST 673 EVENTS]", 673),
        ("CPU:1 [LOST EVENTS]", 0),
        ("CPU:1 [204600 EVENTS DROPPED]", 204600),
        ("CPU:1 [EVENTS DROPPED]", 0),
        ("perf 5/5 [001]  4.000000000: PERF_RECORD_LOST lost 88", 88),
    ],
)
def test_a_gap_is_between_two_events_of_its_cpu(marker: str, count: int) -> None:
    one, two, three, four = events((1, 0), (2, 1), (3, 0), (4, 1))
    _, _, facts = read(f"{one}{two}{marker}\n{three}{four}")
    (lost,) = facts.lost
    assert (lost.begin_ns, lost.end_ns, lost.cpu, lost.events) == (2 * SECOND, 4 * SECOND, 1, count)


def test_a_gap_at_the_end_lasts_to_the_end() -> None:
    one, two, three = events((1, 1), (2, 0), (3, 0))
    _, _, facts = read(f"{one}{two}CPU:1 [LOST 5 EVENTS]\n{three}")
    assert [(each.begin_ns, each.end_ns) for each in facts.lost] == [(SECOND, 3 * SECOND)]


def test_markers_without_an_event_between_them_are_one_gap() -> None:
    one, two, three = events((1, 1), (2, 0), (3, 1))
    _, _, facts = read(f"{one}{two}CPU:1 [LOST 5 EVENTS]\nCPU:1 [LOST 6 EVENTS]\n{three}")
    assert sum(each.events for each in facts.lost) == 11
    _, _, facts = read(f"{one}{two}" + "CPU:1 [LOST 5 EVENTS]\n" * 1000)
    assert [(each.begin_ns, each.end_ns, each.events) for each in facts.lost] == [(SECOND, 2 * SECOND, 5000)]


def test_a_cpu_that_began_late() -> None:
    one, two = events((1, 0), (5, 2))
    _, _, facts = read(f"{one}##### CPU 2 buffer started ####\n{two}")
    assert [(each.begin_ns, each.end_ns, each.events) for each in facts.lost] == [(SECOND, 5 * SECOND, 0)]


def test_the_header() -> None:
    _, _, facts = read(HEADER.format(55, 70, 4) + "".join(events((1, 0), (2, 2))))
    assert (facts.entries, facts.cpus_declared, facts.cpus) == ((55, 70), 4, {0, 2})
    _, _, facts = read("CPU 1 is empty\ncpus=4\n" + "".join(events((1, 0))))
    assert (facts.cpus_declared, facts.cpus_empty) == (4, {1})


def test_a_task_cannot_fake_a_marker() -> None:
    text = line(alloc(0xFFFF888000000040), task="CPU:1 [LOST 9-7")
    _, _, facts = read(text + line("sched_switch: prev_comm=CPU:1 [LOST 9 EVENTS]"))
    assert facts.lost == []
