# SPDX-License-Identifier: Apache-2.0
"""Objects of the selected processes are counted exactly, although others use the same sites."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slabtrace
from slabtrace.trace.format.schema import Flag
from tests.unit.synthetic import START, Event, alloc, free, write_trace

# Process 70 has threads 7 and 8.  Thread 9 is in process 90 at first; its number is reused in process 91.
TASKS = [
    {"ts_ns": 0, "tid": 7, "tgid": 70, "comm": "leaver"},
    {"ts_ns": 0, "tid": 8, "tgid": 70, "comm": "leaver"},
    {"ts_ns": START + 500, "tid": 8, "tgid": 70, "comm": "worker/1"},
    {"ts_ns": 0, "tid": 9, "tgid": 90, "comm": "first"},
    {"ts_ns": START + 1000, "tid": 9, "tgid": 91, "comm": "second"},
]
EVENTS = [
    alloc(100, 0x10, tid=7),
    alloc(200, 0x20, tid=8),
    alloc(300, 0x30, tid=9),
    free(350, 0x10, tid=9),  # an object of process 70, freed by another
    free(400, 0x30, tid=7),  # an object of process 90, freed by 70
    alloc(600, 0x40, tid=8),  # now named worker/1
    alloc(700, 0x50, tid=99),  # by a task that is not in the trace
    alloc(900, 0x60, tid=9),
    alloc(1100, 0x70, tid=9),  # by process 91
    alloc(1200, 0x70, tid=7),  # the free of 91's object was missed
]


def counted(folder: Path, events: list[Event], **of: Any) -> tuple[int, int, int, int]:
    """(allocated, freed, outstanding, bytes_alloc) over all groups of a filtered table."""
    trace = slabtrace.open(write_trace(folder, events, {"tasks": TASKS}, batch_events=3))
    table = trace.outstanding("call_site", **of)
    return tuple(int(table[name].sum()) for name in ("allocated", "freed", "outstanding", "bytes_alloc"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        ({}, (8, 3, 5, 320)),
        ({"pid": [70]}, (4, 1, 3, 192)),
        ({"pid": [90]}, (2, 1, 1, 64)),
        ({"pid": [70, 90]}, (6, 2, 4, 256)),
        ({"pid": [91]}, (0, 0, 0, 0)),  # one allocated and freed: no group has anything outstanding
        ({"comm": ["leaver"]}, (3, 1, 2, 128)),
        ({"comm": ["worker/*"]}, (1, 0, 1, 64)),
        ({"pid": [70], "comm": ["work*", "first"]}, (1, 0, 1, 64)),
        ({"pid": [90], "comm": ["leaver"]}, (0, 0, 0, 0)),
    ],
)
def test_only_objects_of_the_selected_tasks_are_counted(
    tmp_path: Path, of: dict[str, Any], expected: tuple[int, ...]
) -> None:
    assert counted(tmp_path / "t", EVENTS, **of) == expected


def test_a_filtered_group_names_only_its_own_tasks(tmp_path: Path) -> None:
    trace = slabtrace.open(write_trace(tmp_path / "t", EVENTS, {"tasks": TASKS}))
    (group,) = trace.leaks("call_site", pid=[90]).to_dict("records")
    assert (group["pids"], group["comms"]) == ([90], ["first"])
    assert (group["oldest_ns"], group["newest_ns"]) == (900, 900)


def test_an_allocation_recorded_twice_belongs_to_its_task_once(tmp_path: Path) -> None:
    twice = [alloc(1, 0x10, flags=Flag.LARGE, tid=7), alloc(2, 0x10, flags=Flag.LARGE, tid=7, call_site=0x9)]
    assert counted(tmp_path / "t", twice, pid=[70]) == (1, 0, 1, 64)


STEP = st.tuples(st.sampled_from([7, 8, 9, 99]), st.booleans(), st.sampled_from([0x10, 0x20, 0x30]))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=30))
def test_any_stream_is_counted_as_event_by_event(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool, int]]
) -> None:
    """They are compared with a dictionary from live objects to their tasks."""
    events, owner, allocated = [], dict[int, int](), Counter[int]()
    for number, (tid, frees, ptr) in enumerate(steps):
        ts = 50 * (number + 1)
        events.append(free(ts, ptr, tid=tid) if frees else alloc(ts, ptr, tid=tid))
        owner.pop(ptr, None)
        if not frees:
            tgid = {7: 70, 8: 70, 99: 0}.get(tid, 90 if ts < 1000 else 91)
            owner[ptr] = tgid
            allocated[tgid] += 1
    live = Counter(owner.values())
    for pid in (70, 90, 91):
        expected = (allocated[pid], allocated[pid] - live[pid], live[pid]) if live[pid] else (0, 0, 0)
        assert counted(tmp_path_factory.mktemp("t") / "t", events, pid=[pid])[:3] == expected
