# SPDX-License-Identifier: Apache-2.0
"""Comparing two recordings: what is compared, significance, groups of other kernels, no common group."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from slabtrace.analysis.comparing.diff import diff, found, worth_showing
from slabtrace.columns import DIFF
from slabtrace.errors import UsageError
from tests.unit.findings_frames import STACK, frame, group

SECOND = 10**9
MINUTE = 60 * SECOND
OTHER_BUILD = ["load_msg.isra.0+0x57", "do_msgsnd+0x1", "entry+0x76"]


def compared(
    old: list[dict[str, Any]],
    new: list[dict[str, Any]],
    old_ns: int = MINUTE,
    new_ns: int = MINUTE,
    one_in: tuple[int, int] = (1, 1),
) -> dict[str, Any]:
    """The one row of two recordings with the same group, or with none."""
    table = diff(frame(*old), frame(*new), old_ns, new_ns, one_in)
    assert len(table) == 1
    return table.to_dict("records")[0] | {"found": len(found(table)), "shown": len(worth_showing(table))}


def verdict(row: dict[str, Any]) -> tuple[str, bool]:
    return row["state"], row["significant"]


# ---- what came once is compared by its number ----------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "state", "significant"),
    [(10, 12, "same", False), (10, 90, "grown", True), (90, 10, "shrunk", True)],
)
def test_numbers_are_compared_across_builds(before: int, after: int, state: str, significant: bool) -> None:
    row = compared([group(before)], [group(after, OTHER_BUILD)])
    assert verdict(row) == (state, significant) and row["compared"] == "objects"
    assert (row["outstanding_old"], row["outstanding_new"]) == (before, after)
    assert row["stack"] == ["load_msg", "do_msgsnd", "entry"]
    assert row["found"] == (state == "grown")


@pytest.mark.parametrize("lengths", [(MINUTE, 10 * SECOND), (10 * SECOND, MINUTE), (MINUTE, MINUTE)])
def test_one_start_leaves_the_same_in_recordings_of_any_length(lengths: tuple[int, int]) -> None:
    row = compared([group(997)], [group(997)], *lengths)
    assert verdict(row) == ("same", False) and row["p"] == 1.0 and row["shown"] == 0


def test_a_process_more_is_no_finding() -> None:
    """It leaves 300 VMAs in one stack at once; 300 processes that leave one each are a difference."""
    other = group(50, ["other+0x1"])
    for dispersion, significant in ((300.0, False), (1.0, True)):
        table = diff(frame(other), frame(other, group(300, dispersion=dispersion)), MINUTE, MINUTE)
        row = table[table["outstanding_new"] == 300].to_dict("records")[0]
        assert verdict(row) == ("new", significant)
        assert len(found(table)) == significant


def test_the_more_clumped_recording_decides() -> None:
    old, new = group(600, dispersion=300.0), group(900, dispersion=1.0)
    assert verdict(compared([old], [new])) == verdict(compared([new], [old])) == ("same", False)


def test_the_level_is_divided_among_the_groups() -> None:
    """0 and 9 objects: p is 2 / 2^9 = 0.0039, below 1 % for one group, not for three."""
    row = compared([], [group(9)])
    assert verdict(row) == ("new", True) and row["p"] == pytest.approx(2 / 2**9)
    others = [group(50, ["a+0x1"]), group(50, ["b+0x1"])]
    table = diff(frame(*others), frame(*others, group(9)), MINUTE, MINUTE)
    assert not table["significant"].any()


def test_a_group_that_came_after_the_other_recording_had_ended_is_not_compared() -> None:
    late = group(500, oldest_ns=30 * SECOND, newest_ns=31 * SECOND)
    other = group(50, ["other+0x1"])
    for old, new, lengths in (
        ([other], [other, late], (10 * SECOND, MINUTE)),
        ([other, late], [other], (MINUTE, 10 * SECOND)),
    ):
        table = diff(frame(*old), frame(*new), *lengths)
        row = table[table["state"] != "same"].to_dict("records")[0]
        assert (row["compared"], row["significant"]) == ("nothing", False)
    assert compared([], [late], MINUTE, MINUTE)["significant"]


@pytest.mark.parametrize("class_", ["young", "replacing", "reclaimable"])
def test_what_depends_on_the_length_is_compared_at_like_lengths_only(class_: str) -> None:
    few, many = group(150, **{"class": class_}), group(900, **{"class": class_})
    unlike = compared([few], [many], 10 * SECOND, MINUTE)
    assert (unlike["compared"], unlike["p"], *verdict(unlike)) == ("nothing", 1.0, "same", False)
    alike = compared([few], [many], 55 * SECOND, MINUTE)
    assert (alike["compared"], *verdict(alike)) == ("objects", "grown", True)
    assert alike["found"] == 0  # shown, but no reason to fail


# ---- what grows is compared by its rate ----------------------------------------------------------------


@pytest.mark.parametrize("class_", ["suspect", "growing"])
def test_a_leak_in_both_grows_in_both_whatever_their_lengths(class_: str) -> None:
    long = group(120, rate=2.0, error=0.4, **{"class": class_})
    short = group(20, rate=2.1, error=0.9, **{"class": class_})
    row = compared([long], [short], MINUTE, 10 * SECOND)
    assert (row["compared"], *verdict(row)) == ("rate", "growing", False)
    assert (row["rate_old"], row["rate_new"]) == (2.0, 2.1)
    assert (row["growth_old"], row["growth_new"]) == (256.0, pytest.approx(268.8))
    assert (row["shown"], row["found"]) == (1, 0)


def test_a_leak_that_became_faster_has_grown() -> None:
    slow, fast = group(120, rate=2.0, error=0.4), group(100, rate=10.0, error=2.0)
    assert verdict(compared([slow], [fast], MINUTE, 10 * SECOND)) == ("grown", True)
    assert verdict(compared([fast], [slow], 10 * SECOND, MINUTE)) == ("shrunk", True)


@pytest.mark.parametrize("lengths", [(MINUTE, 10 * SECOND), (10 * SECOND, MINUTE), (MINUTE, MINUTE)])
def test_a_new_leak_beside_a_start_is_found(lengths: tuple[int, int]) -> None:
    start = group(997, ["start+0x1"])
    seconds = lengths[1] / SECOND
    leak = group(int(5 * seconds), rate=5.0, error=1.96 * (5 / seconds) ** 0.5)
    table = diff(frame(start), frame(start, leak), *lengths)
    assert table["state"].tolist() == ["new", "same"]
    assert table["significant"].tolist() == [True, False]
    assert found(table)["stack"].tolist() == [["load_msg", "do_msgsnd", "entry"]]


def test_a_slow_leak_is_not_missed_by_a_recording_too_short_to_see_it() -> None:
    """6 objects in a minute; in 5 s none, or one, would have come anyway: p = 2 (60/65)^6."""
    row = compared([], [group(6, rate=0.1, error=1.96 * (0.1 / 60) ** 0.5)], 5 * SECOND)
    assert verdict(row) == ("new", False) and row["p"] == 1.0
    row = compared([], [group(60, rate=1.0, error=1.96 * (1 / 60) ** 0.5)], 5 * SECOND)
    assert row["p"] == pytest.approx(2 * (60 / 65) ** 60, rel=1e-6)


def test_a_leak_in_clumps_may_have_missed_the_other_recording() -> None:
    """The same rate in six clumps: p = 2 (6/7)^6 instead of (6/7)^60."""
    leak = group(60, rate=1.0, error=1.96 * (10 / 60) ** 0.5, dispersion=10.0)
    assert compared([], [leak], 10 * SECOND)["p"] == pytest.approx(2 * (6 / 7) ** 6)


def test_a_leak_where_something_came_once_before_is_found() -> None:
    """Of different kinds: 5,000 objects came in the first second, then none for 59 s; now 2 a second stay."""
    once, leak = group(5000, dispersion=5000.0), group(120, rate=2.0, error=0.4)
    row = compared([once], [leak])
    assert (row["compared"], *verdict(row), row["found"]) == ("rate", "grown", True, 1)
    assert (row["class_old"], row["class_new"]) == ("retained", "suspect")
    row = compared([leak], [once])
    assert (row["compared"], *verdict(row), row["found"]) == ("rate", "shrunk", True, 0)


def test_what_came_up_to_the_end_has_not_stopped() -> None:
    """Retained, but its newest object is 0.2 s old: it may come at 2 a second as well."""
    lately = group(100, newest_ns=MINUTE - SECOND // 5)
    assert verdict(compared([lately], [group(120, rate=2.0, error=0.4)])) == ("same", False)


def test_a_suspect_that_is_young_in_a_short_recording_is_no_difference() -> None:
    young = group(10, rate=1.5, error=1.5, **{"class": "young"})
    row = compared([group(120, rate=2.0, error=0.4)], [young], MINUTE, 5 * SECOND)
    assert (row["compared"], *verdict(row)) == ("rate", "same", False)
    unknown = young | dict.fromkeys(["rate_per_s", "rate_low", "rate_high"], float("nan"))
    row = compared([group(120, rate=2.0, error=0.4)], [unknown], MINUTE, 5 * SECOND)
    assert (row["compared"], *verdict(row)) == ("nothing", "same", False)


# ---- recordings of no length, samples, names ------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(0, MINUTE), (MINUTE, 0), (0, 0)])
def test_a_recording_without_length_can_be_compared(lengths: tuple[int, int]) -> None:
    """A part that is killed right after its beginning has what earlier parts left."""
    some = [group(600), group(700, ["other+0x1"]), group(120, ["leak+0x1"], rate=2.0, error=0.4)]
    for old, new in ((some, some), (some[:2], some), (some, some[:2])):
        table = diff(frame(*old), frame(*new), *lengths)
        assert len(table) == 3 and table["p"].between(0, 1).all()
        assert len(table[table["significant"] & (table["compared"] == "objects")]) == 0


def test_a_sample_is_compared_as_what_it_stands_for() -> None:
    """62 objects in a sample of one in 16 stand for 992 +- 236: as many as 997."""
    row = compared([group(997)], [group(62)], one_in=(1, 16))
    assert verdict(row) == ("same", False)
    assert (row["outstanding_new"], row["outstanding_estimate_new"], row["bytes_estimate_new"]) == (
        62,
        992,
        992 * 128,
    )
    assert verdict(compared([group(62)], [group(997)], one_in=(16, 1))) == ("same", False)
    assert verdict(compared([group(997)], [group(62)])) == ("shrunk", True)
    assert verdict(compared([group(200)], [group(62)], one_in=(1, 16))) == ("grown", True)
    assert verdict(compared([group(62)], [group(62)], one_in=(16, 16))) == ("same", False)


def test_the_error_of_a_sample_counts() -> None:
    """One object of a sample of 1/16 stands for 16, but 3 in all are as likely as that one is among them."""
    assert verdict(compared([group(3)], [group(1)], one_in=(1, 16))) == ("same", False)
    assert compared([group(0)], [group(1)], one_in=(1, 16))["p"] == pytest.approx(2 / 17)


def test_new_and_gone_groups_have_the_numbers_of_both_recordings() -> None:
    common = group(50)
    only_old = group(77, ["old_path+0x1"])
    only_new = group(99, ["new_path+0x1 [mod]"], rate=9.0, error=2.0, finding=3)
    table = diff(frame(common, only_old), frame(common, only_new), MINUTE, MINUTE)
    assert table["state"].tolist() == ["new", "gone", "same"]
    new, gone, _ = table.to_dict("records")
    assert (new["class"], new["module"], new["stack"]) == ("suspect", "mod", ["new_path [mod]"])
    assert (new["class_old"], new["class_new"], new["finding"]) == (None, "suspect", 3)
    assert pd.isna(new["rate_old"]) and new["outstanding_old"] == 0
    assert (gone["class"], gone["class_new"], gone["outstanding_old"]) == ("retained", None, 77)
    assert pd.isna(gone["growth_new"])
    assert {each.name: str(table[each.name].dtype) for each in DIFF.columns if each.dtype == "int64"} == {
        each.name: "int64" for each in DIFF.columns if each.dtype == "int64"
    }


def test_groups_of_two_inlined_copies_become_one() -> None:
    row = compared([group(10), group(5, OTHER_BUILD)], [group(15)])
    assert (row["outstanding_old"], row["state"]) == (15, "same")
    halves = [group(60, rate=1.0, error=0.3), group(60, OTHER_BUILD, rate=1.0, error=0.4)]
    row = compared(halves, [group(120, rate=2.0, error=0.5)])
    assert (row["rate_old"], row["state"]) == (2.0, "growing")


def test_groups_of_other_kernels_are_the_same() -> None:
    """A kmalloc cache has copies, functions are profiled, and a system call has wrappers."""
    plain = group(40, ["kmemdup+0x1", "do_msgsnd+0x8c", "__x64_sys_msgsnd+0x1"], cache="kmalloc-64")
    stack = [
        "kmemdup_noprof+0x9",
        "do_msgsnd.cold+0x3",
        "__do_sys_msgsnd+0x5",
        "__x64_sys_msgsnd+0x9",
        "x64_sys_call+0x1",
    ]
    for cache in ("kmalloc-rnd-07-64", "kmalloc-part-03-64"):
        row = compared([plain], [group(41, stack, cache=cache)])
        assert (row["state"], row["cache"]) == ("same", "kmalloc-64")
        assert row["stack"] == ["kmemdup", "do_msgsnd", "sys_msgsnd"]


def test_copies_of_a_cache_are_added_up_by_cache() -> None:
    rows = [group(10, [], cache=name, symbol=name) for name in ("kmalloc-rnd-01-64", "kmalloc-rnd-02-64")]
    row = compared(rows, [group(20, [], cache="kmalloc-64", symbol="kmalloc-64")])
    assert (row["outstanding_old"], row["state"], row["stack"]) == (20, "same", ["kmalloc-64"])


def test_a_call_site_with_sampled_stacks_is_matched_by_its_function() -> None:
    row = compared([group(10, STACK, stacks=3)], [group(11, ["load_msg+0x41", "another_way+0x1"])])
    assert (row["state"], row["stack"]) == ("same", ["load_msg"])


def test_what_is_worth_showing_comes_first_and_slabtrace_itself_last() -> None:
    rows = {
        "own": group(900, ["own+0x1"], own=True),
        "same": group(50, ["same+0x1"]),
        "leak": group(120, ["leak+0x1"], rate=2.0, error=0.4),
        "more": group(900, ["more+0x1"]),
    }
    old = rows | {"own": group(1, ["own+0x1"], own=True), "more": group(90, ["more+0x1"])}
    table = diff(frame(*old.values()), frame(*rows.values()), MINUTE, MINUTE)
    assert [stack[0] for stack in table["stack"]] == ["more", "leak", "same", "own"]
    assert [stack[0] for stack in found(table)["stack"]] == ["more"]


def test_a_recording_without_outstanding_objects_can_be_compared() -> None:
    some = frame(group(50))
    assert diff(some, some[:0], MINUTE, MINUTE)["state"].tolist() == ["gone"]
    assert diff(some[:0], some, MINUTE, MINUTE)["state"].tolist() == ["new"]
    assert diff(some[:0], some[:0], MINUTE, MINUTE).empty


def test_traces_without_a_common_group_are_refused() -> None:
    with pytest.raises(UsageError, match="no group in common"):
        diff(frame(group(5)), frame(group(5, ["another+0x1"])), MINUTE, MINUTE)
