# SPDX-License-Identifier: Apache-2.0
"""The analysis of traces of real kernels, compared with the known answers in fixtures/answers.toml."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

import slabtrace
from slabtrace.api import Trace
from tests.places import FIXTURES

ANSWERS: dict[str, dict[str, Any]] = tomllib.loads((FIXTURES / "answers.toml").read_text())
KIB = 1024


def opened(name: str) -> Trace:
    return slabtrace.open(FIXTURES / f"{name}.slab")


def matches(found: Any, wanted: Any) -> bool:
    return wanted[0] <= found <= wanted[1] if isinstance(wanted, list) else found == wanted


def test_every_fixture_has_an_answer_and_every_answer_a_fixture() -> None:
    assert {place.stem for place in FIXTURES.glob("*.slab")} == set(ANSWERS)
    assert all(name in (FIXTURES / "README.md").read_text() for name in ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_fixtures_are_small(name: str) -> None:
    files = [file for file in (FIXTURES / f"{name}.slab").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 300 * KIB


@pytest.mark.parametrize("name", ANSWERS)
def test_completeness(name: str) -> None:
    completeness = opened(name).completeness()
    found = vars(completeness) | {"seen_and_dropped": completeness.events + completeness.dropped}
    for key in set(ANSWERS[name]) & set(found):
        assert matches(found[key], ANSWERS[name][key]), f"{key} is {found[key]}"


@pytest.mark.parametrize("name", ANSWERS)
def test_suspects(name: str) -> None:
    leaks = opened(name).leaks()
    suspects = leaks[leaks["class"] == "suspect"]["symbol"].tolist()
    wanted = ANSWERS[name]["suspects"]
    assert len(suspects) == len(wanted)
    assert all(symbol.startswith(start) for symbol, start in zip(suspects, wanted, strict=True))


@pytest.mark.parametrize("name", [name for name in ANSWERS if "groups" in ANSWERS[name]])
def test_groups(name: str) -> None:
    leaks = opened(name).leaks().rename(columns={"growth_bytes_per_s": "growth"})
    assert bool(len(leaks)) == bool(ANSWERS[name]["groups"])
    for wanted in ANSWERS[name]["groups"]:
        mine = leaks[leaks["symbol"].str.startswith(wanted["symbol"])]
        assert len(mine) == 1
        for key in set(wanted) - {"symbol"}:
            assert matches(mine.iloc[0][key], wanted[key]), f"{key} is {mine.iloc[0][key]}"


@pytest.mark.parametrize("name", ANSWERS)
def test_mismatches(name: str) -> None:
    assert opened(name).mismatches()["kind"].value_counts().to_dict() == ANSWERS[name].get("mismatches", {})


def test_growth_is_explained() -> None:
    why = opened("slow-leak").leaks()["why"][0]
    assert "one more every 498 ms, 15.1 KiB/min" in why and "0 of 45 objects older than" in why
    assert "freed objects of this stack lived" in why
