# SPDX-License-Identifier: Apache-2.0
"""The tables behind the plots, for traces that are small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slabtrace
from slabtrace.api import Trace
from slabtrace.trace.format.schema import Loss
from slabtrace.trace.manifest import Manifest
from tests.unit.synthetic import START, Event, alloc, free, write_trace

SECOND = 10**9
CACHE = {
    "cache": 0xC0,
    "name": "kmalloc-64",
    "aliases": [],
    "object_size": 64,
    "size": 64,
    "slab_flags": 0,
    "order": 0,
    "objects_per_slab": 64,
    "reclaimable": False,
    "first_seen_ns": START,
}


def slabinfo(ts: int, active: int, num_objs: int) -> dict[str, object]:
    return {
        "ts_ns": START + ts,
        "name": "kmalloc-64",
        "active_objs": active,
        "num_objs": num_objs,
        "objsize": 64,
        "objperslab": 32,
        "pagesperslab": 2,
        "num_slabs": num_objs // 32,
    }


# 7 objects of call site 0x100 stay, 3 of 0x300 (100 bytes) are freed after 1 us; one older object is freed.
EVENTS: list[Event] = sorted(
    [
        *(alloc(100 + i, 0x1000 + 64 * i) for i in range(7)),
        *(
            alloc(500 + i, 0x8000 + 128 * i, call_site=0x300, bytes_req=100, bytes_alloc=128)
            for i in range(3)
        ),
        *(free(1500 + i, 0x8000 + 128 * i) for i in range(3)),
        free(5 * SECOND, 0xF000, cache=0xC0),
    ],
    key=lambda event: event.ts,
)


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    tables = {
        "caches": [CACHE],
        "slabinfo": [slabinfo(0, 20, 64), slabinfo(6 * SECOND, 26, 96)],
        "marks": [{"ts_ns": START + 3 * SECOND, "text": "<b>after login"}],
        "losses": [
            loss(1, Loss.RING_FULL, 5),
            loss(2, Loss.RECURSION, 7, "kfree"),
            loss(3, Loss.RECURSION, 2, "kfree_twin"),
            loss(4, Loss.STACK, 9),
            loss(5, Loss.LATE, 0),
        ],
    }
    manifest = Manifest(status="complete")
    manifest.coverage.twins = ["kfree_twin"]
    return slabtrace.open(write_trace(tmp_path / "t.slab", EVENTS, tables, manifest=manifest, seconds=10))


def loss(second: int, kind: Loss, count: int, program: str = "") -> dict[str, object]:
    return {
        "begin_ns": START + second * SECOND,
        "end_ns": START + (second + 1) * SECOND,
        "cpu": -1,
        "kind": int(kind),
        "program": program,
        "count": count,
    }


def test_usage_has_objects_and_slabs(trace: Trace) -> None:
    usage = trace.usage(buckets=10)
    mine = usage[usage["cache"] == "kmalloc-64"]
    assert mine["allocs"].sum() == 10
    assert mine["frees"].sum() == 4
    assert mine["objects"].iloc[-1] == 20 + 10 - 4
    # two slabs of two pages each, then three
    assert mine["reserved"].iloc[0] == 2 * 2 * 4096
    assert mine["reserved"].iloc[-1] == 3 * 2 * 4096


def test_usage_by_call_site(trace: Trace) -> None:
    table = trace.call_site_usage(top=1, buckets=10)
    ends = table[table["ts_ns"] == 10 * SECOND].set_index("call_site")
    assert list(table["call_site"].unique()) == [0x100, 0]
    assert ends.loc[np.uint64(0x100), "objects"] == 7
    assert ends.loc[np.uint64(0x100), "bytes"] == 7 * 64
    assert ends.loc[np.uint64(0), "bytes"] == 0 and ends.loc[np.uint64(0), "symbol"] == "(others)"


def test_size_classes_are_powers_of_two(trace: Trace) -> None:
    table = trace.size_classes(buckets=10)
    sums = table.groupby("size_class")[["allocs", "frees"]].sum()
    assert sums.loc[64].tolist() == [7, 0]
    assert sums.loc[128].tolist() == [3, 3]
    assert list(sums.index) == [64, 128]


def test_lifetimes_are_in_their_bin(trace: Trace) -> None:
    table = trace.lifetime_histogram()
    assert table["objects"].sum() == 3
    assert ((table["from_ns"] <= 1000) & (table["to_ns"] > 1000)).all()
    assert set(table["cache"]) == {"kmalloc-64"}


def test_only_losses_are_shaded(trace: Trace) -> None:
    losses = trace.losses()
    assert losses[losses["lost"]][["kind", "count"]].values.tolist() == [["ring full", 5], ["recursion", 2]]
    assert losses["begin_ns"].tolist() == [SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND]


def test_times_of_marks_are_since_the_start(trace: Trace) -> None:
    assert trace.marks().values.tolist() == [[3 * SECOND, "<b>after login"]]


def test_stack_totals_add_up_to_stat(trace: Trace) -> None:
    table, stat = trace.stack_totals(), trace.stat(by="cache")
    assert table["allocated_objects"].sum() == stat["hits"].sum() == 10
    assert table["allocated_bytes"].sum() == stat["bytes_alloc"].sum() == 7 * 64 + 3 * 128
    assert table["outstanding_objects"].sum() == stat["outstanding"].sum() == 7
    assert table["freed_objects"].sum() == 3
    assert table["stack"].tolist() == [["0x100"], ["0x300"]]


def test_progress_is_reported(trace: Trace) -> None:
    progress: list[int] = []
    trace.progress = progress.append
    trace.stat()
    assert progress[-1] == len(EVENTS)
