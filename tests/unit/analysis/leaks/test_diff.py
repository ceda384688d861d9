# SPDX-License-Identifier: Apache-2.0
"""Comparing two recordings: groups of different builds, significance, no common group."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from slabtrace.analysis.leaks.diff import diff
from slabtrace.analysis.names.frames import comparable, function, module_of
from slabtrace.errors import UsageError

MINUTE = 60 * 10**9
STACK = ["load_msg+0x41", "do_msgsnd+0x8c", "entry+0x76"]


def group(outstanding: int, stack: list[str] = STACK, **fields: Any) -> dict[str, Any]:
    return {
        "cache": "msg_msg-128",
        "symbol": stack[0],
        "stack": stack,
        "outstanding": outstanding,
        "bytes_alloc": 128 * outstanding,
        "growth_bytes_per_s": 0.0,
        "growth_low": 0.0,
        "growth_high": 0.0,
        "stacks": 1,
        "class": "retained",
        "own": False,
        "why": "because",
    } | fields


def compared(old: list[dict[str, Any]], new: list[dict[str, Any]], new_ns: int = MINUTE) -> dict[str, Any]:
    table = diff(pd.DataFrame(old), pd.DataFrame(new), MINUTE, new_ns)
    assert len(table) == 1
    return table.to_dict("records")[0]


OTHER_BUILD = ["load_msg.isra.0+0x57", "do_msgsnd+0x1", "entry+0x76"]


@pytest.mark.parametrize(
    ("before", "after", "state", "significant"),
    [
        (10, 12, "same", False),
        (10, 90, "grown", True),
        (90, 10, "shrunk", True),
    ],
)
def test_numbers_are_compared_across_builds(before: int, after: int, state: str, significant: bool) -> None:
    row = compared([group(before)], [group(after, OTHER_BUILD)])
    assert (row["state"], row["significant"]) == (state, significant)
    assert (row["outstanding_old"], row["outstanding_new"]) == (before, after)
    assert row["stack"] == ["load_msg", "do_msgsnd", "entry"]


def test_a_longer_recording_may_have_more() -> None:
    assert compared([group(100)], [group(1000)], 10 * MINUTE)["state"] == "same"
    assert compared([group(100)], [group(100)], 10 * MINUTE)["state"] == "shrunk"


def test_few_objects_are_not_significant_whatever_the_lengths() -> None:
    """2 of 2 in the 23rd part of the time: p is twice 1/23 squared, 0.0038, and the best of two tests."""
    table = diff(pd.DataFrame([group(2)]), pd.DataFrame([group(0), group(9, ["x+0x1"])]), MINUTE, 22 * MINUTE)
    row = table[table["outstanding_old"] == 2].to_dict("records")[0]
    assert row["p"] == pytest.approx(2 * 2 / 23**2) and not row["significant"]


def test_a_changed_slope_can_be_significant_where_numbers_are_not() -> None:
    flat = group(100, growth_bytes_per_s=0.0, growth_low=-10.0, growth_high=10.0)
    steep = group(104, growth_bytes_per_s=200.0, growth_low=190.0, growth_high=210.0)
    row = compared([flat], [steep])
    assert (row["state"], row["significant"]) == ("grown", True)
    assert compared([flat], [flat | {"growth_bytes_per_s": 5.0}])["significant"] is False


def test_new_and_gone_groups_have_the_numbers_of_both_recordings() -> None:
    common = group(50)
    only_old = group(77, ["old_path+0x1"])
    only_new = group(99, ["new_path+0x1 [mod]"], **{"class": "suspect"})
    table = diff(pd.DataFrame([common, only_old]), pd.DataFrame([common, only_new]), MINUTE, MINUTE)
    assert table["state"].tolist() == ["new", "gone", "same"]
    new = table.to_dict("records")[0]
    assert (new["class"], new["module"], new["stack"]) == ("suspect", "mod", ["new_path [mod]"])


def test_groups_of_two_inlined_copies_become_one() -> None:
    row = compared([group(10), group(5, OTHER_BUILD)], [group(15)])
    assert (row["outstanding_old"], row["state"]) == (15, "same")


def test_a_recording_without_outstanding_objects_can_be_compared() -> None:
    some = pd.DataFrame([group(50)])
    assert diff(some, some[:0], MINUTE, MINUTE)["state"].tolist() == ["gone"]
    assert diff(some[:0], some, MINUTE, MINUTE)["state"].tolist() == ["new"]
    assert diff(some[:0], some[:0], MINUTE, MINUTE).empty


def test_traces_without_a_common_group_are_refused() -> None:
    with pytest.raises(UsageError, match="no group in common"):
        diff(pd.DataFrame([group(5)]), pd.DataFrame([group(5, ["another+0x1"])]), MINUTE, MINUTE)


def test_symbols_are_split() -> None:
    symbols = ("f+0x1 [m]", "f.constprop.0.isra.1+0x2", "0xffff88", "f.cold+0x1")
    assert [function(each) for each in symbols] == ["f", "f", "?", "f"]
    assert (module_of("f+0x1 [m]"), module_of("f+0x1")) == ("m", "")
    assert comparable(["f+0x1 [m]", "g+0x2"]) == ("f [m]", "g")
