# SPDX-License-Identifier: Apache-2.0
"""Per-CPU memory (record --percpu): paired by address, a row of its own, whatever slab paths are silent."""

from __future__ import annotations

from pathlib import Path

import pytest

import slabtrace
from slabtrace.trace.format.schema import Kind
from slabtrace.trace.manifest import Coverage, Unattached
from tests.unit.synthetic import Event, alloc, free, write_trace

PERCPU = "(percpu)"


def percpu(ts: int, ptr: int, **fields: int) -> Event:
    return alloc(ts, ptr, kind=Kind.PERCPU_ALLOC, cache=0, **fields)


@pytest.fixture
def trace(tmp_path: Path) -> slabtrace.api.Trace:
    """Three per-CPU areas of 64 bytes, one freed; and an object of a slab at the same number."""
    events = [
        percpu(1, 0x1F000, bytes_req=32),
        percpu(2, 0x1F040, bytes_req=32),
        alloc(3, 0x2F000),
        percpu(4, 0x1F080, bytes_req=32),
        free(5, 0x1F040, kind=Kind.PERCPU_FREE, cache=0),
    ]
    return slabtrace.open(write_trace(tmp_path / "t.slab", events))


def test_it_is_a_cache_of_its_own(trace: slabtrace.api.Trace) -> None:
    rows = trace.caches().set_index("cache")
    row = rows.loc[PERCPU]
    assert (row["allocs"], row["frees"], row["outstanding"]) == (3, 1, 2)
    assert row["bytes_alloc"] == 3 * 64
    leaks = trace.leaks(by="cache").set_index("cache")
    assert leaks.loc[PERCPU, "bytes_alloc"] == 2 * 64


def test_its_frees_cannot_take_the_silent_paths_of_slabs(trace: slabtrace.api.Trace) -> None:
    trace.manifest.coverage = Coverage(unattached=[Unattached("kmem_cache_free_bulk", "no fentry")])
    leaks = trace.leaks(by="cache").set_index("cache")
    assert leaks.loc[PERCPU, "confidence"] == "exact"
    assert set(leaks.drop(index=PERCPU)["confidence"]) == {"unprovable"}


def test_without_it_there_is_no_row(tmp_path: Path) -> None:
    trace = slabtrace.open(write_trace(tmp_path / "t.slab", [alloc(1, 0x1000)]))
    assert PERCPU not in set(trace.caches()["cache"])
    assert PERCPU not in trace.cache_names()
