# SPDX-License-Identifier: Apache-2.0
"""Copies of a kmalloc cache as one cache: sums that are exact, and the copies still there one by one.

Three copies of kmalloc-64 and one other cache.  At most 3 objects of the copies are live at once (time 30),
which no sum of the copies' own peaks (2 + 1 + 1) says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slabtrace
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.slabinfo import Samples, summed
from slabtrace.analysis.trust.confidence import NO_BOUND, InUse, Proof
from slabtrace.api import Trace
from slabtrace.trace.manifest import Manifest
from tests.unit.synthetic import START, alloc, free, write_trace

NAMES = {0xC0: "kmalloc-64", 0xC1: "kmalloc-rnd-01-64", 0xC2: "kmalloc-rnd-02-64", 0xC3: "filp"}
COPIES = ["kmalloc-64", "kmalloc-rnd-01-64", "kmalloc-rnd-02-64"]
EVENTS = [
    alloc(5, 0x1000, cache=0xC0),
    alloc(10, 0x1040, cache=0xC0),
    free(15, 0x1000, cache=0xC0),
    alloc(20, 0x2000, cache=0xC1, call_site=0x101),
    alloc(30, 0x3000, cache=0xC2, call_site=0x102),
    free(40, 0x2000, cache=0xC1),
    free(45, 0x3000, cache=0xC2),
    alloc(50, 0x4000, cache=0xC3, call_site=0x103, bytes_alloc=192),
]


def sample(name: str, ts: int, active: int) -> dict[str, Any]:
    return {
        "ts_ns": START + ts, "name": name, "active_objs": active, "num_objs": 64, "objsize": 64,
        "objperslab": 64, "pagesperslab": 1, "num_slabs": 1,
    }  # fmt: skip


def written(folder: Path, **options: Any) -> Trace:
    caches = [
        {
            "cache": at, "name": name, "aliases": ["alias"] if at == 0xC3 else [], "object_size": 64,
            "size": 64,
            "slab_flags": 0, "order": 0, "objects_per_slab": 64, "reclaimable": False, "first_seen_ns": 0,
        }
        for at, name in NAMES.items()
    ]  # fmt: skip
    slabinfo = [sample(name, 0, 10) for name in NAMES.values()]
    slabinfo += [sample("kmalloc-64", 900, 11), sample("kmalloc-rnd-02-64", 950, 12)]
    tables = {"caches": caches, "slabinfo": slabinfo}
    manifest = Manifest(status="complete", options=options)
    return slabtrace.open(write_trace(folder / "t.slab", EVENTS, tables, manifest=manifest))


def test_totals_and_the_kernels_count_are_sums(tmp_path: Path) -> None:
    trace = written(tmp_path)
    table = trace.summed().caches().set_index("cache")
    row = table.loc["kmalloc-64"]
    assert (row["allocs"], row["frees"], row["outstanding"]) == (4, 3, 1)
    assert (row["slabinfo_start"], row["slabinfo_end"], row["unexplained"]) == (30, 33, 2)
    assert row["peak_outstanding"] == 3
    assert table.loc["filp", "allocs"] == 1 and len(table) == 2
    assert trace.summed().copies() == {"kmalloc-64": COPIES}


def test_parked_objects_are_those_of_all_copies(tmp_path: Path) -> None:
    trace = written(tmp_path)
    alone, together = (each.caches().set_index("cache")["slack"] for each in (trace, trace.summed()))
    assert together["kmalloc-64"] == sum(alone[name] for name in COPIES)


def test_nothing_is_lost_the_copies_are_there_one_by_one(tmp_path: Path) -> None:
    trace = written(tmp_path)
    table = trace.caches().set_index("cache")
    assert table.loc[COPIES, "allocs"].tolist() == [2, 1, 1] and trace.copies() == {}
    assert trace.stat(by="cache")["cache"].tolist().count("kmalloc-64") == 1
    assert trace.summed().stat(by="cache").set_index("cache").loc["kmalloc-64", "hits"] == 4


def test_tables_over_time_are_sums(tmp_path: Path) -> None:
    trace = written(tmp_path).summed()
    usage = trace.usage()
    assert set(usage["cache"]) == {"kmalloc-64", "filp"}
    assert usage[usage["cache"] == "kmalloc-64"]["allocs"].sum() == 4
    peaks = trace.peaks().set_index("cache")
    assert (peaks.loc["kmalloc-64", "objects"], peaks.loc["kmalloc-64", "ts_ns"]) == (3, 30)


def test_a_window_of_a_sum_is_a_sum(tmp_path: Path) -> None:
    table = written(tmp_path).summed().window(0, 35).caches().set_index("cache")
    assert table.loc["kmalloc-64", "allocs"] == 4


def test_groups_by_cache_are_sums_and_findings_stay(tmp_path: Path) -> None:
    trace = written(tmp_path)
    alone, together = trace.leaks(by="cache"), trace.leaks(by="cache", sum_copies=True)
    assert together.set_index("cache").loc["kmalloc-64", ["allocated", "outstanding"]].tolist() == [4, 1]
    assert alone.set_index("cache").loc["kmalloc-64", ["allocated", "outstanding"]].tolist() == [2, 1]
    assert set(together["finding"]) == set(alone["finding"])
    assert trace.findings()["caches"].tolist() == [["filp", "kmalloc-64"]]


def test_a_pattern_of_a_copy_selects_the_sum(tmp_path: Path) -> None:
    names = written(tmp_path).summed().cache_names()
    assert names["kmalloc-64"] == COPIES and names["filp"] == ["alias"]


def test_a_trace_without_copies_is_its_own_sum(tmp_path: Path) -> None:
    only = [alloc(1, 0x1000, cache=0xC3)]
    trace = slabtrace.open(write_trace(tmp_path / "t.slab", only))
    assert trace.summed() is trace


def test_copies_of_which_some_were_not_recorded_are_not_summed(tmp_path: Path) -> None:
    trace = written(tmp_path, cache=["kmalloc-64"])
    assert trace.summed() is trace


def test_a_single_copy_is_named_as_the_sum() -> None:
    caches = Caches(["kmalloc-part-03-64", "dentry"], [[], []], [64, 192], [64, 192], [False, True])
    caches.of_site = np.array([1, 0], np.intp)
    together, row = caches.summed()
    assert together.names == ["kmalloc-64", "dentry"] and row.tolist() == [0, 1]
    assert together.copies == [["kmalloc-part-03-64"], []]
    assert (together.size, together.reclaimable) == ([64, 192], [False, True])
    assert together.of_site.tolist() == [1, 0]


def test_samples_are_summed_at_every_time() -> None:
    def samples(ts: list[int], active: list[int]) -> Samples:
        constant = [np.full(len(ts), n, np.int64) for n in (64, 64, 64, 1)]
        return Samples(np.array(ts), np.array(active), *constant)

    both = summed([samples([0, 10], [5, 7]), samples([0, 20], [1, 4])])
    assert both.ts_ns.tolist() == [0, 10, 20] and both.active_objs.tolist() == [6, 8, 11]
    assert (both.num_objs.tolist(), both.change) == ([128] * 3, 5)


@pytest.mark.parametrize(
    ("silent", "means", "expected"),
    [
        ([1, 2, 3], [0, 1, 0], ([3, 3], [1, 0])),
        ([1, NO_BOUND, 3], [0, 0, InUse.NOTHING], ([NO_BOUND, 3], [0, 2])),
        ([NO_BOUND, NO_BOUND, 0], [2, 1, 0], ([NO_BOUND, 0], [2, 0])),
    ],
)
def test_a_proof_for_sums(silent: list[int], means: list[int], expected: tuple[list[int], list[int]]) -> None:
    proof = Proof(None, None, np.array(silent, np.int64), np.array(means, np.int8))  # type: ignore[arg-type]
    together = proof.summed(np.array([0, 0, 1]), 2)
    assert (together.silent.tolist(), together.means.tolist()) == expected
