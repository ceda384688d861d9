# SPDX-License-Identifier: Apache-2.0
"""Whatever fails in an inspection is a note in the manifest, and never the end of a recording."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from slabtrace.capture.inspecting.inspector import Searched
from slabtrace.capture.storing import inspection
from slabtrace.capture.storing.inspection import inspect
from slabtrace.trace.format import schema


def session(**more: Any) -> Any:
    options = SimpleNamespace(inspect_s=2.0, inspect_cpu=0.5)
    caches = SimpleNamespace(by_address=dict, aliases={})
    given = {"machine": object(), "machine_problem": "", "options": options, "caches": caches}
    return SimpleNamespace(**(given | more))


def fails() -> list[int]:
    raise ValueError("the findings took longer than 10 s\nmore")


@pytest.mark.parametrize(
    ("given", "choose", "problem", "whole"),
    [
        (session(machine=None, machine_problem="locked down"), fails, "locked down", False),
        (session(), fails, "the findings took longer than 10 s", False),
        (session(), list, "", True),
        (session(), lambda: [0xFFFF888000000000], "'object' object has no attribute 'renew'", False),
    ],
)
def test_a_problem_is_noted(given: Any, choose: Any, problem: str, whole: bool) -> None:
    found = inspect(given, choose, lambda: False)
    assert (found.account.problem, found.account.whole, found.account.objects) == (problem, whole, 0)
    assert [*found.columns] == schema.OBJECTS.names
    assert not any(found.columns.values())


@pytest.mark.parametrize("answers", [[True], [False, True]])
def test_who_hurries_gets_nothing_and_is_told_why(answers: list[bool]) -> None:
    """Before it began, nothing is chosen; while objects are chosen, that is for nothing."""
    asked, chosen = iter(answers), []
    found = inspect(session(), lambda: chosen.append(1) or [], lambda: next(asked))
    assert bool(chosen) == (len(answers) > 1)
    assert (found.account.problem, found.account.whole) == (inspection.LEFT_OUT, False)
    assert not any(found.columns.values())


def test_a_machine_without_free_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "free_memory", lambda: 300 << 20)
    problem = "to find out takes 512 MiB of free memory, and there are 300 MiB"
    assert inspect(session(), fails, lambda: False).account.problem == problem


class Machine:
    """Memory from 4096 to 8192; knows which caches it was given."""

    base, end = 4096, 8192

    def __init__(self) -> None:
        self.caches: dict[int, str] = {}

    def renew(self, caches: dict[int, str], aliases: dict[str, list[str]]) -> None:
        self.caches = caches


def test_caches_that_came_while_recording_are_known_and_per_cpu_memory_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    class Inspector:
        def __init__(self, machine: Machine, pace: Any) -> None:
            assert machine.caches == {1: "leak_cache"}

        def holders(self, addresses: Any, depth: int) -> tuple[dict[int, Any], Searched]:
            asked.extend(addresses.tolist())
            return {}, Searched({"slab": 64}, missing=["kernel stacks"], whole=False)

        def things(self, addresses: Any) -> list[Any]:
            return []

        def kinds_by_holder(self) -> dict[int, str]:
            return {}

    monkeypatch.setattr(inspection, "Inspector", Inspector)
    caches = SimpleNamespace(by_address=lambda: {1: "leak_cache"}, aliases={})
    given = session(machine=Machine(), caches=caches)
    account = inspect(given, lambda: [5000, 0x60FF_1234_5678, 4096, 5000, 8192], lambda: False).account
    assert asked == [4096, 5000]
    assert account.problem == "this kernel does not say where these are: kernel stacks"


@pytest.mark.parametrize(
    ("whole", "deep", "words"),
    [
        (True, True, ""),
        (False, True, "there was no time to search all memory: use a longer --inspect"),
        (True, False, "there was no time for holders of holders: use a longer --inspect"),
    ],
)
def test_what_there_was_no_time_for_is_said(whole: bool, deep: bool, words: str) -> None:
    assert inspection.problem_of(Searched(whole=whole, deep=deep)) == words
