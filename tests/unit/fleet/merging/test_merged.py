# SPDX-License-Identifier: Apache-2.0
"""Merging is a union: any order, any tree, any number of times."""

from __future__ import annotations

import random
from functools import cache

import pytest

from slabtrace.fleet.judging.report import report
from slabtrace.fleet.merging.merged import Merged, Row
from slabtrace.render.json import plain
from tests.unit.fleet import fleets


@cache
def rows() -> list[Row]:
    return [fleets.row(*each) for each in fleets.contents(fleets.Plan(hosts=80, leaking=8, benign=3))]


@cache
def straight() -> object:
    return plain(report(fleets.merged(rows())))


def tree(leaves: list[Row], width: int) -> Merged:
    """Merged in a tree whose nodes have `width` children."""
    level = [fleets.merged([leaf]) for leaf in leaves]
    while len(level) > 1:
        nodes = []
        for at in range(0, len(level), width):
            node = Merged()
            for child in level[at : at + width]:
                node.merge(child)
            nodes.append(node)
        level = nodes
    return level[0]


@pytest.mark.parametrize("width", [2, 8, 32])
@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_tree_gives_the_same_report(width: int, seed: int) -> None:
    leaves = [*rows(), *rows()[:20]]  # some are read twice
    random.Random(seed).shuffle(leaves)
    assert plain(report(tree(leaves, width))) == straight()


def test_a_copy_of_a_trace_counts_once_and_is_named() -> None:
    first = rows()[0]
    copy = Row(first.facts, "elsewhere", first.digest, first.grown, first.young)
    for order in ([first, copy], [copy, first]):
        merged = fleets.merged(order)
        assert len(merged.rows()) == 1
        (kept,) = merged.rows()
        assert merged.copies == {
            (first.facts["fingerprint"], ({"elsewhere", first.place} - {kept.place}).pop())
        }
        assert kept.place == max("elsewhere", first.place)


def test_of_two_digests_of_one_trace_the_later_tool_counts() -> None:
    first = rows()[0]
    later = Row({**first.facts, "tool_version": "9.9"}, "later", "0", (), frozenset())
    for order in ([first, later], [later, first]):
        assert fleets.merged(order).rows()[0].place == "later"


def test_absurd_numbers_of_a_stranger_stay_within_what_can_be_summed() -> None:
    facts, _ = next(fleets.contents(fleets.Plan(hosts=1, leaking=0, benign=0)))
    leak = fleets.finding(1, 0, random.Random(1), **fleets.suspect(1 << 61))
    negative = fleets.finding(2, 0, random.Random(1), **fleets.suspect(64, growth_low_per_day=-5))
    found = {each.title: each for each in fleets.row(facts, [leak, negative]).grown}
    assert sorted((each.growth, each.low) for each in found.values()) == [(64, 0), (1 << 42, 1 << 42)]


def test_large_fleets_of_tests_are_as_if_read_from_files() -> None:
    plan = fleets.Plan(hosts=8, leaking=1, benign=3, false_suspects=0.5)
    for each in fleets.contents(plan):
        through_file, quick = fleets.row(*each), fleets.quick_row(*each)
        assert (through_file.facts, through_file.grown, through_file.young) == (
            quick.facts,
            quick.grown,
            quick.young,
        )
