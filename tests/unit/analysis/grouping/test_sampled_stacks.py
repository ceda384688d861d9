# SPDX-License-Identifier: Apache-2.0
"""Call sites with sampled stacks: what is put into one group, shown, and distributed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slabtrace
from slabtrace.analysis.grouping.sampled_stacks import spread
from slabtrace.api import Trace
from slabtrace.render.terminal.sampling import stack_of
from slabtrace.trace.format.schema import STACK_NOT_TAKEN
from tests.unit.synthetic import Event, alloc, free, write_trace

HOT, COLD = 0x100, 0x200  # call sites
LEFT, RIGHT = 1, 2  # stacks
TABLES: dict[str, list[dict[str, Any]]] = {
    "stacks": [
        {"stack_id": LEFT, "frames": [HOT, 0x900]},
        {"stack_id": RIGHT, "frames": [HOT, 0x901]},
        {"stack_id": 3, "frames": [COLD, 0x902]},
    ]
}


def made(number: int, stack_id: int, call_site: int = HOT, freed: int = 0) -> list[Event]:
    """Events of `number` objects of a stack, of which `freed` are freed."""
    first = 0x1000 * (stack_id + 100) + call_site
    events = [alloc(0, first + 64 * n, call_site=call_site, stack_id=stack_id) for n in range(number)]
    return events + [free(0, first + 64 * n) for n in range(freed)]


def rows(folder: Path, *parts: list[Event]) -> tuple[list[dict[str, Any]], Trace]:
    events = [replace(event, ts=ts) for ts, event in enumerate(each for part in parts for each in part)]
    trace = slabtrace.open(write_trace(folder / "t.slab", events, TABLES))
    return trace.leaks().to_dict("records"), trace


def test_with_one_recorded_stack_the_others_are_assumed_to_be_the_same(tmp_path: Path) -> None:
    (group,), _ = rows(tmp_path, made(7, LEFT), made(100, STACK_NOT_TAKEN, freed=11))
    assert (group["outstanding"], group["stacks"], group["stacked"], group["stack_of"]) == (96, 1, 7, 7)
    assert group["stack"] == ["0x100", "0x900"]
    assert stack_of(group) == "stacks were sampled: 7 of 96 have one, all the same"


def test_two_numbers_of_the_same_frames_are_one_stack(tmp_path: Path) -> None:
    """Seen on a busy machine: stacks that differ only inside the call site, in frames that are not stored."""
    again = {"stacks": [*TABLES["stacks"], {"stack_id": 26557, "frames": [HOT, 0x900]}]}
    sampled = [*made(7, LEFT), *made(5, 26557), *made(100, STACK_NOT_TAKEN)]
    every = [*made(7, LEFT), *made(5, 26557), *made(3, RIGHT)]
    for name, events, stacks in (("sampled", sampled, [1]), ("every", every, [1, 1])):
        events = [replace(event, ts=ts) for ts, event in enumerate(events)]
        found = slabtrace.open(write_trace(tmp_path / name, events, again)).leaks()
        assert found["stacks"].tolist() == stacks and found["stack_of"].max() == 12


def test_several_stacks_are_one_group_which_says_so(tmp_path: Path) -> None:
    parts = made(7, LEFT), made(19, RIGHT, freed=16), made(100, STACK_NOT_TAKEN), made(5, 3, COLD)
    found, _ = rows(tmp_path, *parts)
    by_site = {group["call_site"]: group for group in found}
    hot, cold = by_site[HOT], by_site[COLD]
    assert (hot["allocated"], hot["outstanding"], hot["stacks"]) == (126, 110, 2)
    assert (hot["stack"], hot["stack_of"], hot["stacked"]) == (["0x100", "0x900"], 7, 10)
    assert stack_of(hot) == ("stacks were sampled: 10 of 110 have one, 7 of them this one")
    assert (cold["stack"], cold["stack_of"], cold["outstanding"]) == (["0x200", "0x902"], 5, 5)
    assert stack_of(cold) == ""


def test_no_outstanding_object_has_a_recorded_stack(tmp_path: Path) -> None:
    (group,), _ = rows(tmp_path, made(7, LEFT, freed=7), made(13, STACK_NOT_TAKEN))
    said = "stacks were sampled: none of 13 has one; this is the only stack seen at this call site"
    assert stack_of(group) == said


def test_a_call_site_that_was_not_sampled_has_a_group_for_each_stack(tmp_path: Path) -> None:
    found, _ = rows(tmp_path, made(7, LEFT), made(11, RIGHT))
    assert sorted(group["outstanding"] for group in found) == [7, 11]


def test_a_lost_stack_is_not_a_stack_that_was_not_sampled(tmp_path: Path) -> None:
    found, _ = rows(tmp_path, made(7, LEFT), made(11, -17))
    assert sorted((group["outstanding"], len(group["stack"])) for group in found) == [(7, 2), (11, 0)]


def test_flame_graphs_distribute_them_with_equal_totals(tmp_path: Path) -> None:
    parts = made(7, LEFT), made(21, RIGHT, freed=16), made(101, STACK_NOT_TAKEN, freed=50)
    _, trace = rows(tmp_path, *parts)
    totals = trace.stack_totals()
    assert set(map(tuple, totals["stack"])) == {("0x100", "0x900"), ("0x100", "0x901")}
    assert totals["allocated_objects"].sum() == 129
    assert totals["outstanding_objects"].sum() == 63
    assert (totals["allocated_objects"] == totals["freed_objects"] + totals["outstanding_objects"]).all()
    right = totals[totals["stack"].map(tuple) == ("0x100", "0x901")].iloc[0]
    assert right["freed_objects"] == 66, "only what came that way was freed"


@pytest.mark.parametrize(
    ("number", "weights", "parts"),
    [(10, [1, 1, 1], [4, 3, 3]), (10, [0, 0], [5, 5]), (0, [3, 4], [0, 0]), (7, [1, 0, 6], [1, 0, 6])],
)
def test_shares_add_up_to_the_total(number: int, weights: list[int], parts: list[int]) -> None:
    found = spread(np.array([number]), np.array(weights)[:, None])
    assert found[:, 0].tolist() == parts
