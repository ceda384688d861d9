# SPDX-License-Identifier: Apache-2.0
"""Objects in use over time, where frees were missed, a recording has only some objects, or slabs are full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slabtrace
from slabtrace.analysis.counting.missed_frees import MissedFrees
from slabtrace.trace.manifest import Host, Manifest
from tests.unit.synthetic import START, Event, alloc, free, write_trace

S = 1_000_000_000
BUCKETS = 8
times = st.floats(-3, BUCKETS - 0.01, allow_nan=False)


objects_ = st.tuples(st.integers(0, 2), times, times).filter(lambda each: each[1] < each[2])


@given(st.lists(objects_, max_size=20))
def test_each_object_counts_by_the_share_of_the_time_to_come(objects: list[tuple[int, float, float]]) -> None:
    found = MissedFrees(BUCKETS, 3)
    sort, begin, end = (np.array(column) for column in zip(*objects, strict=True)) if objects else ([],) * 3
    found.add(np.array(sort, np.intp), np.array(begin, float), np.array(end, float))
    for which in range(3):
        mine = [(a, e) for each, a, e in objects if each == which]
        for bucket in range(BUCKETS):
            at = bucket + 1
            # in use at the end of the bucket: allocated in it or before, inferred free in a later one
            some = [(a, e) for a, e in mine if max(a, 0) // 1 <= bucket < e // 1]
            assert found.open(np.array([which]))[bucket, 0] == len(some)
            expected = sum((e - at) / (e - a) for a, e in some)
            assert found.weights(np.array([which]))[bucket, 0] == pytest.approx(expected, abs=1e-6)


def usage(folder: Path, events: list[Event], samples: list[tuple[int, int, int]] = (), **options: Any) -> Any:  # type: ignore[assignment]
    """By bucket of a second; `samples`: (second, active_objs, num_objs)."""
    numbers = {"objsize": 64, "objperslab": 64, "pagesperslab": 1, "num_slabs": 1}
    rows = [
        {"ts_ns": START + at * S, "name": "made", "active_objs": active, "num_objs": room, **numbers}
        for at, active, room in samples
    ]
    cache = {"cache": 0xC0, "name": "made", "aliases": [], "object_size": 64, "size": 64, "slab_flags": 0}
    cache |= {"order": 0, "objects_per_slab": 64, "reclaimable": False, "first_seen_ns": 0}
    host = Host(cpus=1, release="6.1.0")
    manifest = Manifest(status="complete", host=host, options=options)
    path = write_trace(
        folder / "t", events, {"slabinfo": rows, "caches": [cache]}, manifest=manifest, seconds=BUCKETS
    )
    return slabtrace.open(path).usage(BUCKETS)


def test_the_example(tmp_path: Path) -> None:
    """Allocated at 1 s, its free inferred at 5 s, because the address is allocated again."""
    found = usage(tmp_path, [alloc(S, 0x40), alloc(5 * S, 0x40), free(5 * S + 1, 0x40)])
    assert found["objects"].tolist() == [0, 1, 1, 1, 1, 0, 0, 0]
    assert found["maybe_freed"].tolist() == [0, 1, 1, 1, 1, 0, 0, 0]
    assert found["objects_expected"].tolist() == [0, 0.75, 0.5, 0.25, 0, 0, 0, 0]
    assert found["bytes_expected"].tolist() == [0, 48, 32, 16, 0, 0, 0, 0]


def test_missed_frees_that_are_found_at_the_end_leave_no_cliff(tmp_path: Path) -> None:
    """A thousand objects, evenly over time, whose addresses are all allocated again in the last second."""
    came = [alloc(at * 7_000_000, 64 * (at + 1)) for at in range(1000)]
    again = [alloc(7_900_000_000 + at, 64 * (at + 1)) for at in range(1000)]
    gone = [free(7_950_000_000 + at, 64 * (at + 1)) for at in range(1000)]
    found = usage(tmp_path, [*came, *again, *gone])
    assert found["objects"].tolist()[-2:] == [1000, 0], "at the latest time"
    steps = np.diff(found["objects_expected"], prepend=0)
    assert np.abs(steps).max() < 300
    assert (found["objects_expected"] >= 0).all()
    assert (found["objects_expected"] <= found["objects"]).all()


def test_a_level_begins_lower_where_the_slabs_would_lack_room(tmp_path: Path) -> None:
    """Of 60 that the kernel counts, some are parked: 40 more come, and there is room for 80."""
    came = [alloc(S + at, 64 * (at + 1)) for at in range(40)]
    samples = [(0, 60, 80), (4, 80, 80)]
    assert usage(tmp_path / "1", came, samples)["objects"].tolist() == [40] + [80] * 7
    many = [alloc(S + at, 64 * (at + 1)) for at in range(2000)]
    found = usage(tmp_path / "2", many, samples)["objects"].tolist()
    assert found[-1] == 2000, "at most all that it counts is parked: the trace lacks frees, and shows it"


def test_room_between_two_samples_is_that_of_the_larger(tmp_path: Path) -> None:
    found = usage(tmp_path, [alloc(1, 0x40)], [(0, 10, 64), (3, 10, 128), (6, 10, 64), (8, 10, 64)])
    assert found["num_objs"].tolist() == [64, 64, 128, 128, 128, 64, 64, 64]
    assert found["room"].tolist() == [128, 128, 128, 128, 128, 64, 64, 64]


@pytest.mark.parametrize(
    "options", [{"pid": 7}, {"comm": "x"}, {"cgroup": "/x"}, {"min_size": 8}, {"sample": 2}]
)
def test_a_recording_of_some_objects_begins_at_none_and_never_falls_below(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    """The kernel counts all objects; the frees are of objects that were left out, too."""
    events = [alloc(S, 0x40), *(free(2 * S + at, 0x1000 + 64 * at) for at in range(20)), free(3 * S, 0x40)]
    found = usage(tmp_path / "1", events, [(0, 500, 640), (8, 480, 640)], **options)
    assert found["objects"].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert found["active_objs"].tolist() == [500] * 7 + [480]
    chosen = usage(tmp_path / "2", events, [(0, 500, 640), (8, 480, 640)], cache=["made"])
    assert chosen["objects"].tolist() == [500, 501, 481, 480, 480, 480, 480, 480]
