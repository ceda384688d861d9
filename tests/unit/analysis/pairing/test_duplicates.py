# SPDX-License-Identifier: Apache-2.0
"""One event that was recorded twice, and two events that only look like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.trace.format.schema import Flag, Kind
from tests.unit.analysis.pairing.test_pairing import LONG, streams, vectorised
from tests.unit.synthetic import Event, alloc, free, page_end

MS = 1_000_000
LATE_TWIN = {"flags": Flag.RECOVERED, "cpu": 1}


@pytest.mark.parametrize(("apart", "twice"), [(7_000_000, True), (9_999_999, True), (10_000_000, False)])
def test_a_large_kmalloc_that_fires_twice_is_one_object(apart: int, twice: bool) -> None:
    events = [alloc(1, 0x10, flags=Flag.LARGE), alloc(1 + apart, 0x10, flags=Flag.LARGE, call_site=0x999)]
    out = vectorised(events, cuts=(1,))
    assert out.duplicates == ({(0, 1)} if twice else set())
    assert out.inferred == (set() if twice else {(0, 1)})
    assert out.live == {1}


def test_a_small_kmalloc_does_not_fire_twice() -> None:
    assert vectorised([alloc(1, 0x10), alloc(2, 0x10)]).inferred == {(0, 1)}


@pytest.mark.parametrize("other", [{"call_site": 0x999}, {"tid": 8}, {"kind": Kind.CACHE_FREE}])
def test_a_twin_records_the_same_free_only_if_nothing_differs(other: dict[str, int]) -> None:
    first = [alloc(1, 0x10), free(2, 0x10)]
    same = vectorised([*first, free(3, 0x10, flags=Flag.RECOVERED)], cuts=(2,))
    differing = vectorised([*first, free(3, 0x10, flags=Flag.RECOVERED, **other)], cuts=(2,))
    assert (same.duplicate_frees, same.second_frees) == ({2}, set())
    assert (differing.duplicate_frees, differing.second_frees) == (set(), {2})


@pytest.mark.parametrize(("tid", "one"), [(7, True), (0, False)])
def test_a_twin_may_record_on_another_cpu(tid: int, one: bool) -> None:
    """It may be preempted between the two programs (7.0); the idle tasks of all CPUs have the number 0."""
    events = [alloc(1, 0x10, tid=tid, cpu=0), alloc(2, 0x10, tid=tid, cpu=1, flags=Flag.RECOVERED)]
    out = vectorised(events, cuts=(1,))
    assert (len(out.duplicates), len(out.inferred)) == ((1, 0) if one else (0, 1))


def test_a_twin_is_recognised_in_a_later_batch() -> None:
    events = [
        alloc(1, 0x10),
        free(2, 0x10),
        alloc(3, 0x20),
        alloc(4, 0x30),
        free(5, 0x10, flags=Flag.RECOVERED),
    ]
    out = vectorised(events, cuts=(1, 2, 3, 4))
    assert (out.duplicate_frees, out.second_frees) == ({4}, set())


def test_a_twin_may_be_interrupted_for_milliseconds() -> None:
    late, too_late = 9_999_999, 10_000_000
    for apart, duplicates in ((late, {2}), (too_late, set())):
        out = vectorised([alloc(1, 0x10), free(2, 0x10), free(2 + apart, 0x10, flags=Flag.RECOVERED)], (2,))
        assert out.duplicate_frees == duplicates


# Delay of a twin's record in ms: (programs are preemptible, task) -> (still one event, two events)
WAITS = {(False, 7): (9.999, 10), (True, 7): (999.999, 1000), (True, 0): (9.999, 10)}


@pytest.mark.parametrize(("preemptible", "tid"), sorted(WAITS))
@pytest.mark.parametrize("cuts", [(), (1,), (1, 2), (1, 2, 3)])
def test_a_twin_waits_longer_where_its_task_may_be_preempted(
    preemptible: bool, tid: int, cuts: tuple[int, ...]
) -> None:
    """The idle task of a CPU is never preempted."""
    late = LATE_TWIN | {"tid": tid, "cpu": 0}
    for apart, one in zip(WAITS[preemptible, tid], (1, 0), strict=True):
        again = int(2 + apart * MS)
        for events in (
            [alloc(1, 0x20), alloc(2, 0x10, tid=tid), alloc(again - 1, 0x30), alloc(again, 0x10, **late)],
            [alloc(1, 0x10), free(2, 0x10, tid=tid), alloc(again - 1, 0x30), free(again, 0x10, **late)],
        ):
            out = vectorised(events, cuts, preemptible=preemptible)
            assert len(out.duplicates) + len(out.duplicate_frees) == one
            assert len(out.inferred) + len(out.second_frees) == 1 - one


def test_a_record_of_the_first_program_is_not_a_duplicate() -> None:
    """The same task at the same call site a little later: a free was missed."""
    events = [alloc(1, 0x10), alloc(200 * MS, 0x10), free(201 * MS, 0x10), free(300 * MS, 0x10)]
    out = vectorised(events, cuts=(1, 3), preemptible=True)
    assert (out.inferred, out.freed, out.second_frees) == ({(0, 1)}, {(1, 2)}, {3})


@pytest.mark.parametrize("preemptible", [False, True])
def test_two_records_of_twins_are_two_events(preemptible: bool) -> None:
    """An event has only one twin: an event between them was missed."""
    for step in (2, 200 * MS):
        twins = [alloc(1, 0x10, **LATE_TWIN), alloc(1 + step, 0x10, **LATE_TWIN)]
        assert vectorised(twins, preemptible=preemptible).inferred == {(0, 1)}
        frees = [free(1, 0x10, **LATE_TWIN), free(1 + step, 0x10, **LATE_TWIN)]
        assert vectorised(frees, (1,), preemptible=preemptible).second_frees == {1}


@pytest.mark.parametrize("cuts", [(), (1, 2, 3, 4), (2, 4)])
def test_a_late_free_of_a_newer_object_is_not_a_duplicate(cuts: tuple[int, ...]) -> None:
    """The slab ended with a newer object in it: the late free is that of the newer object."""
    events = [
        free(1, 0x1000),
        alloc(2, 0x1000),
        page_end(3, 0x1000, 0x1000),
        alloc(4, 0x9000),
        free(200 * MS, 0x1000, **LATE_TWIN),
    ]
    out = vectorised(events, cuts, preemptible=True)
    assert (out.page_ended, out.second_frees, out.duplicate_frees) == ({(1, 2)}, {4}, set())


def test_a_large_kmalloc_still_fires_twice_within_the_shorter_time() -> None:
    large = [alloc(1, 0x10, flags=Flag.LARGE), alloc(11 * MS, 0x10, flags=Flag.LARGE, call_site=0x999)]
    assert vectorised(large, preemptible=True).inferred == {(0, 1)}


@given(events=streams(LONG), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_only_events_that_may_have_a_late_twin_wait(events: list[Event], cuts: list[int]) -> None:
    short, long = (vectorised(events, cuts, preemptible=preemptible) for preemptible in (False, True))
    assert all(events[b].ts - events[a].ts < 10 * MS for a, b in short.duplicates)
    for a, b in long.duplicates - short.duplicates:
        first, second = events[a], events[b]
        assert 10 * MS <= second.ts - first.ts < 1000 * MS
        assert second.flags & Flag.RECOVERED and not first.flags & Flag.RECOVERED
        assert first.tid == second.tid != 0
        assert (first.kind, first.call_site) == (second.kind, second.call_site)
    assert long.inferred == short.inferred - long.duplicates
    assert (long.live, long.freed, long.old_frees) == (short.live, short.freed, short.old_frees)
    assert long.duplicate_frees - short.duplicate_frees == short.second_frees - long.second_frees
