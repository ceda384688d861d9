# SPDX-License-Identifier: Apache-2.0
"""Windows of windows, damage that is noticed late, and groupings that do not exist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import slabtrace
from slabtrace.api import Trace
from slabtrace.errors import UsageError
from tests.places import FIXTURES
from tests.unit.synthetic import START, alloc, write_trace

S = 1_000_000_000
MARKS = [{"ts_ns": START + at * S, "text": text} for at, text in ((5, "before"), (14, "in"), (40, "after"))]


@pytest.fixture
def minute(tmp_path: Path) -> Trace:
    """60 s with one allocation in the middle of each second, at the address of its number."""
    events = [alloc(at * S + S // 2, 0x1000 * (at + 1)) for at in range(60)]
    return slabtrace.open(write_trace(tmp_path / "t", events, {"marks": MARKS}, seconds=60))


def seconds(trace: Trace) -> list[int]:
    """The seconds of the recording of which the trace has an event."""
    return [int(ptr) // 0x1000 - 1 for batch in trace.events(["ptr"]) for ptr in batch.column(0).to_pylist()]


def test_the_times_of_a_window_of_a_window_count_from_the_outer_one(minute: Trace) -> None:
    outer = minute.window(10 * S, 20 * S)
    inner = outer.window(2 * S, 5 * S)
    assert seconds(outer) == list(range(10, 20))
    assert seconds(inner) == [12, 13, 14]
    assert seconds(inner.window(1 * S)) == [13, 14]
    assert inner.length_ns == 3 * S
    assert seconds(outer.window("in", 6 * S)) == [14, 15], "a mark has the same moment in every window"


def test_a_window_of_a_window_does_not_reach_beyond_it(minute: Trace) -> None:
    outer = minute.window(10 * S, 20 * S)
    assert seconds(outer.window(0, "after")) == list(range(10, 20))
    assert seconds(outer.window(8 * S, 50 * S)) == [18, 19]
    with pytest.raises(UsageError, match="nothing lies between"):
        outer.window(10 * S, 50 * S)
    with pytest.raises(UsageError, match="no mark 'before'"):
        outer.window("before")


def test_a_window_reports_progress_as_its_trace_does(minute: Trace) -> None:
    reported: list[int] = []
    minute.progress = reported.append
    minute.window(10 * S, 20 * S).stat()
    assert reported


@pytest.mark.parametrize("missing", ["losses", "slabinfo", "tasks", "marks"])
def test_damage_counts_in_the_first_answer_already(tmp_path: Path, missing: str) -> None:
    path = write_trace(tmp_path / "t", [alloc(1, 0x10)], seconds=60)
    (path / f"{missing}.arrow").unlink()
    for first in (lambda trace: trace.leaks(), lambda trace: trace.completeness()):
        trace = slabtrace.open(path)
        first(trace)
        assert trace.damage == [f"{missing}.arrow is missing."]
        assert trace.completeness().damaged
    assert set(slabtrace.open(path).leaks()["confidence"]) == {"unprovable"}


@pytest.mark.parametrize(
    ("ask", "by"),
    [
        (Trace.lifetime_table, "process"),
        (Trace.lifetime_table, "own stack"),
        (Trace.leaks, "own stack"),
        (Trace.outstanding, "comm"),
        (Trace.stat, "stack"),
    ],
)
def test_a_wrong_grouping_is_refused_before_an_event_is_read(
    ask: Callable[..., pd.DataFrame], by: str
) -> None:
    trace = slabtrace.open(FIXTURES / "clean.slab")
    reported: list[int] = []
    trace.progress = reported.append
    with pytest.raises(ValueError, match=f"by is one of .*, not '{by}'"):
        ask(trace, by=by)
    assert not reported


def test_the_names_of_caches_are_those_of_the_table_and_need_no_pass() -> None:
    trace = slabtrace.open(FIXTURES / "slow-leak.slab")
    reported: list[int] = []
    trace.progress = reported.append
    names = trace.cache_names()
    assert not reported
    table = trace.caches()
    assert names == {
        name: list(others) for name, others in zip(table["cache"], table["aliases"], strict=True)
    }
