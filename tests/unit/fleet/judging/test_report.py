# SPDX-License-Identifier: Apache-2.0
"""Sums, times, outliers and notes of the report, with answers calculated by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest

from slabtrace.fleet.judging.attributes import attributes_of
from slabtrace.fleet.judging.details import half_octave
from slabtrace.fleet.judging.report import report
from slabtrace.fleet.merging.merged import Row
from tests.unit.fleet import fleets

MIB = 1 << 20


def host(number: int, growth: int, build: int = 0, **facts: Any) -> Row:
    rng = random.Random(number)
    findings = [fleets.finding(3, build, rng, **fleets.suspect(growth))] if growth else []
    return fleets.row(fleets.facts_of(number, build, rng, **facts), findings)


def first_of(rows: list[Row]) -> dict[str, Any]:
    finding: dict[str, Any] = report(fleets.merged(rows))["findings"][0]
    return finding


def test_growth_is_summed_and_the_first_full_host_is_named() -> None:
    rows = [host(1, 4 * MIB), host(2, 8 * MIB, memory_bytes=800 * MIB), host(3, 12 * MIB), host(4, 0)]
    first = first_of(rows)
    assert first["growth_per_day"] == 24 * MIB
    assert first["growth_low_per_day"] == 18 * MIB
    assert first["median_growth_per_day"] == 8 * MIB
    assert first["bytes"] == 24 * MIB
    # host 2 holds 8 MiB of 800 MiB and grows by 8 MiB a day
    assert (first["full_in_s"], first["full_host"]) == (99 * 86_400, "host-00002")
    assert [each["growth_low_per_day"] for each in first["worst"]] == [9 * MIB, 6 * MIB, 3 * MIB]
    assert first["growth_bins"] == [[44, 1], [46, 1], [47, 1]]


@pytest.mark.parametrize(
    ("value", "expected"), [(0, 0), (1, 0), (2, 2), (3, 3), (4, 4), (5, 4), (6, 5), (1 << 40, 80)]
)
def test_half_octaves_are_exact(value: int, expected: int) -> None:
    """1, 1.41, 2, 2.83, 4, 5.66, 8: the bin of a value is the last of these that is not larger."""
    assert half_octave(value) == expected


def test_since_when_ignores_clocks_that_cannot_be_right() -> None:
    unset = {"begin_s": 100, "end_s": 3700}
    ahead = {"begin_s": fleets.START_S + 10**9, "end_s": fleets.START_S + 10**9 + 3600}
    rows = [host(1, MIB, **unset), host(2, MIB, **ahead), *(host(at, MIB) for at in range(3, 9))]
    made = report(fleets.merged(rows))
    assert made["findings"][0]["since_s"] == min(row.facts["begin_s"] for row in rows[2:])
    assert made["notes"] == ["2 traces with a time of day that cannot be right: not counted for since when."]


def test_an_outlier_is_far_above_its_build() -> None:
    rows = [host(at, (100 + at) * MIB) for at in range(9)] + [host(9, 1000 * MIB)]
    assert [each["host"] for each in first_of(rows)["outliers"]] == ["host-00009"]
    others = [host(at, (100 + at) * MIB) for at in range(9)] + [host(9, 1000 * MIB, build=1)]
    assert first_of(others)["outliers"] == []  # alone in its build


def test_issues_of_few_hosts_are_listed_and_not_compared() -> None:
    rows = [host(1, MIB), host(2, MIB), *(host(at, 0) for at in range(3, 30))]
    first = first_of(rows)
    assert (first["gate"], first["affected"], first["associations"]) == ("few", 2, [])


def test_a_confirmed_leak_that_fills_memory_within_30_days_passes_alone() -> None:
    def gate(days: int) -> str:
        growth = 3000 * MIB
        return str(first_of([host(1, growth, memory_bytes=growth * (days + 1)), host(2, 0)])["gate"])

    assert (gate(30), gate(31)) == ("alone", "few")


def test_notes_name_shared_hostnames_and_mixed_tools() -> None:
    both = {"host": "web", "begin_s": fleets.START_S, "end_s": fleets.START_S + 9000}
    rows = [host(1, 0, boot_id="1", **both), host(2, 0, boot_id="2", tool_version="9.9", **both)]
    notes = report(fleets.merged(rows))["notes"]
    assert notes[0] == "Several hosts have one name, and are numbered: web."
    assert notes[1].startswith("The digests were made by different versions of slabtrace: ")


def test_what_is_still_recorded_is_named() -> None:
    row = host(1, 0, status="recording", damage="The recording was not finished.")
    made = report(fleets.merged([row]), unread=[("b", "gone"), ("a", "damaged")])
    assert [each["why"] for each in made["doubtful"]] == [
        "still recording, or its recorder was killed: read up to its last whole batch"
    ]
    assert [each["place"] for each in made["unread"]] == ["a", "b"]


def test_an_empty_fleet_has_a_report() -> None:
    made = report(fleets.merged([]))
    assert (made["hosts"], made["findings"], made["begin_s"]) == (0, [], None)


def test_attributes_of_the_same_hosts_are_one() -> None:
    rows = [host(at, 0, build=at % 2, labels=f'{{"odd": "{at % 2}"}}', modules="a b") for at in range(6)]
    found = attributes_of(rows)
    assert [(each.kind, each.also) for each in found] == [
        ("kernel build", (f"release {fleets.BUILDS[0]}", "label odd=0")),
        ("kernel build", (f"release {fleets.BUILDS[1]}", "label odd=1")),
    ]


@pytest.mark.parametrize("labels", ["", "[]", "nonsense", '{"a": 5}', "[" * 9999])
def test_labels_that_are_none_do_no_harm(labels: str) -> None:
    assert report(fleets.merged([host(1, MIB, labels=labels), host(2, 0)]))["hosts"] == 2
