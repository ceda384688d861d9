# SPDX-License-Identifier: Apache-2.0
"""The answers that a fleet is asked for: a planted leak with its build, and nothing where nothing leaks.

`python -m tests.fleet` asks the same of larger fleets.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from slabtrace.fleet.judging.report import report
from slabtrace.fleet.merging.merged import Row
from tests.unit.fleet import fleets
from tests.unit.fleet.fleets import Plan

LEAK = "keep_1000 < handle_1000"


def report_of(plan: Plan) -> dict[str, Any]:
    return report(fleets.merged([fleets.quick_row(*each) for each in fleets.contents(plan)]))


@pytest.fixture(scope="module")
def planted() -> dict[str, Any]:
    return report_of(Plan(hosts=1000, leaking=30, benign=2))


def test_a_leak_on_three_hosts_in_a_hundred_is_first_and_its_build_is_named(planted: dict[str, Any]) -> None:
    first = planted["findings"][0]
    assert first["title"].endswith(LEAK)
    assert (first["affected"], first["clear"], first["unknown"]) == (30, 970, 0)
    (named,) = first["associations"]
    assert named["value"].startswith(fleets.BUILDS[fleets.LEAKY_BUILD])
    assert (named["affected_with"], named["hosts_with"], named["hosts_known"]) == (30, 250, 1000)
    assert named["p"] < 1e-6
    assert named["also"] == [f"release {fleets.BUILDS[fleets.LEAKY_BUILD]}"]
    assert first["goes_with"] == first["not_enough_hosts"] == []


def test_nothing_else_is_associated(planted: dict[str, Any]) -> None:
    assert [each["associations"] for each in planted["findings"][1:]] == [[] for _ in planted["findings"][1:]]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_named_where_nothing_leaks(seed: int) -> None:
    """A fifth of the hosts have a false suspect, of five groups: many pass the gate."""
    plan = Plan(hosts=150, leaking=0, benign=5, false_suspects=0.2, seed=seed)
    found = report_of(plan)["findings"]
    assert any(each["gate"] == "hosts" for each in found)
    assert [each["associations"] for each in found if each["associations"]] == []


def test_too_few_hosts_are_not_enough() -> None:
    """Three hosts, one leaks: no number of affected hosts could be significant."""
    rng = random.Random(1)
    soon = fleets.suspect(1 << 36, confidence="exact")
    rows = [
        fleets.row(fleets.facts_of(0, 2, rng), [fleets.finding(9, 2, rng, **soon)]),
        *(fleets.row(fleets.facts_of(at, at, rng), []) for at in (1, 3)),
    ]
    (found,) = report(fleets.merged(rows))["findings"]
    assert (found["gate"], found["affected"], found["clear"]) == ("alone", 1, 2)
    assert found["associations"] == []
    assert any(name.startswith(f"kernel build {fleets.BUILDS[2]}") for name in found["not_enough_hosts"])


def with_label(number: int, build: int, role: str, rng: random.Random, growth: int) -> Row:
    facts = fleets.facts_of(number, build, rng, labels=f'{{"role": "{role}"}}', modules="xfs")
    findings = [fleets.finding(9, build, rng, **fleets.suspect(growth))] if growth else []
    return fleets.quick_row(facts, findings)


def test_what_the_build_explains_is_not_named_on_its_own() -> None:
    """db hosts mostly run the leaky build: role=db goes with the leak because of it."""
    rng = random.Random(2)
    rows = []
    for at in range(400):
        build = 2 if at < 100 else 0
        role = "db" if (build == 2) == (at % 10 != 0) else "web"
        rows.append(with_label(at, build, role, rng, 10**6 if build == 2 and at % 3 == 0 else 0))
    first = report(fleets.merged(rows))["findings"][0]
    assert [each["attribute"] for each in first["associations"]] == ["kernel build"]
    assert first["goes_with"] == ["label role=db"]


def test_a_second_cause_beside_the_build_is_named() -> None:
    """Of the leaky build only db hosts leak."""
    rng = random.Random(3)
    rows = []
    for at in range(400):
        build, role = (2 if at % 4 == 0 else 0), ("db" if at % 2 < 1 and at % 8 < 4 else "web")
        rows.append(with_label(at, build, role, rng, 10**6 if build == 2 and role == "db" else 0))
    first = report(fleets.merged(rows))["findings"][0]
    named = {(each["attribute"], each["value"].split(" ")[0]) for each in first["associations"]}
    assert named == {("kernel build", fleets.BUILDS[2]), ("label", "role=db")}


def test_growth_names_a_build_where_all_hosts_are_affected() -> None:
    rng = random.Random(4)
    rows = [
        with_label(at, 2 * (at % 2), "web", rng, (4 if at % 2 else 1) * (10**6 + 1000 * at))
        for at in range(40)
    ]
    (first, *_) = report(fleets.merged(rows))["findings"]
    (named,) = first["associations"]
    assert (named["test"], named["attribute"]) == ("growth", "kernel build")
    assert named["value"].startswith(fleets.BUILDS[2])
