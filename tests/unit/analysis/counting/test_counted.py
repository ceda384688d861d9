# SPDX-License-Identifier: Apache-2.0
"""A trace of survivors mode gives the same tables as the trace of all events."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

import slabtrace
from slabtrace.analysis.counting.counted_objects import CountedObjects
from slabtrace.trace.format import schema
from slabtrace.trace.manifest import Manifest
from tests.unit.synthetic import START, Event, alloc, free, intern, write_trace

THRESHOLD_NS = 1000
CALL_SITES = (0x100, 0x110, 0x120)


def survivors_manifest() -> Manifest:
    return Manifest(status="complete", options={"mode": "survivors", "threshold_s": THRESHOLD_NS / 1e9})


def sent_and_counted(events: list[Event]) -> tuple[list[Event], list[tuple[Event, Event]]]:
    """Divide events as the programs do: (events that are sent, pairs that are only counted)."""
    live: dict[int, Event] = {}
    counted = []
    for event in events:
        if not event.is_free:
            live[event.ptr] = event
        elif event.ptr in live and event.ts - live[event.ptr].ts < THRESHOLD_NS:
            counted.append((live.pop(event.ptr), event))
        else:
            live.pop(event.ptr, None)
    gone = {id(event) for pair in counted for event in pair}
    return [event for event in events if id(event) not in gone], counted


def rows(sent: list[Event], counted: list[tuple[Event, Event]]) -> tuple[list[Event], list[dict[str, Any]]]:
    """Rows of counted.arrow; their sites are in sites.arrow even if no event has them."""
    bins = Counter(
        (birth.call_site, int(2 * math.log2(max(death.ts - birth.ts, 1)))) for birth, death in counted
    )
    moved = Counter(birth.call_site for birth, death in counted if birth.cpu != death.cpu)
    _, sites = intern(sent)
    numbers = dict(zip(sites["call_site"].tolist(), range(len(sites["call_site"])), strict=True))
    found = []
    for (call_site, place), objects in bins.items():
        row = {"begin_ns": START, "end_ns": START + 10, "site": numbers[call_site], "lifetime_bin": place}
        found.append({**row, "objects": objects, "moved": moved.pop(call_site, 0)})
    return sent, found


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Objects allocated and freed in order; one of each call site stays, so that its site is stored."""
    events = [alloc(1, 0x9000 + 64 * i, call_site=site) for i, site in enumerate(CALL_SITES)]
    for number in range(draw(st.integers(0, 12))):
        ptr, at = 0x1000 + 64 * number, draw(st.integers(2, 50))
        for _ in range(draw(st.integers(1, 4))):
            site, cpu = draw(st.sampled_from(CALL_SITES)), draw(st.integers(0, 1))
            events.append(alloc(at, ptr, call_site=site, cpu=cpu))
            at += draw(st.sampled_from([1, 2, 90, 999, 1000, 1001, 5000]))
            events.append(free(at, ptr, cpu=draw(st.integers(0, 1))))
            at += draw(st.integers(1, 20))
        if draw(st.booleans()):
            events.append(alloc(at, ptr, call_site=draw(st.sampled_from(CALL_SITES))))
    return sorted(events, key=lambda event: event.ts)


@settings(max_examples=40)
@given(histories())
def test_all_tables_except_those_of_single_objects_are_the_same(events: list[Event]) -> None:
    sent, counted = rows(*sent_and_counted(events))
    with tempfile.TemporaryDirectory() as folder:
        whole = slabtrace.open(write_trace(Path(folder) / "whole.slab", events))
        part = slabtrace.open(
            write_trace(Path(folder) / "part.slab", sent, {"counted": counted}, manifest=survivors_manifest())
        )
        for by in ("call_site", "cache"):
            a, b = whole.stat(by), part.stat(by)
            assert a.sort_values("call_site").to_dict("records") == b.sort_values("call_site").to_dict(
                "records"
            )
        columns = ["call_site", "allocated", "freed", "outstanding", "oldest_ns", "newest_ns"]
        a, b = (each.leaks()[columns].sort_values("call_site") for each in (whole, part))
        assert a.to_dict("records") == b.to_dict("records")
        assert whole.lifetime_histogram().equals(part.lifetime_histogram())
        seen, told_of = whole.completeness(), part.completeness()
        assert (seen.allocs, seen.frees, seen.outstanding) == (
            told_of.allocs,
            told_of.frees,
            told_of.outstanding,
        )
        assert told_of.counted == sum(row["objects"] for row in counted)
        assert told_of.events == len(sent)


def test_a_trace_of_survivors_mode_says_what_it_does_not_have(tmp_path: Path) -> None:
    trace = slabtrace.open(write_trace(tmp_path / "t.slab", [alloc(1, 0x10)], manifest=survivors_manifest()))
    assert "--mode survivors" in trace.completeness().verdict
    assert "double frees are not reported" in trace.completeness().verdict


def test_survivors_mode_reports_no_double_free(tmp_path: Path) -> None:
    """The second free may be of another object, whose allocation was only counted."""
    events = [alloc(1, 0x10), free(5000, 0x10), free(6000, 0x10)]
    whole = slabtrace.open(write_trace(tmp_path / "whole.slab", events))
    part = slabtrace.open(write_trace(tmp_path / "part.slab", events, manifest=survivors_manifest()))
    assert list(whole.mismatches()["kind"]) == ["double-free"]
    assert not len(part.mismatches())


def test_impossible_rows_are_ignored() -> None:
    names = schema.COUNTED.names
    good = dict(zip(names, (0, 1, 1, 20, 7, 3), strict=True))
    bad = [
        {**good, "site": 2},
        {**good, "lifetime_bin": 200},
        {**good, "objects": 1 << 60},
        {**good, "moved": 1 << 60},
    ]
    table = pa.Table.from_pylist([good, *bad, good], schema.COUNTED)
    counted = CountedObjects.from_table(table, sites=2)
    assert counted.by_site().tolist() == [0, 14]
    assert counted.moved.tolist() == [0, 6]
    assert counted.total == 14
