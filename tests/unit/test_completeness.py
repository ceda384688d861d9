# SPDX-License-Identifier: Apache-2.0
"""What completeness counts, and what ends exactness: each kind of loss, what is no loss at all."""

from __future__ import annotations

from pathlib import Path

import pytest

import slabtrace
from slabtrace.trace.manifest import Coverage, Manifest, Totals, Unattached
from slabtrace.trace.schema import Flag, Kind, Loss
from tests.unit.synthetic import START, alloc, free, page_end, write_trace

CLEAN = [alloc(1, 0x10), free(2, 0x10), alloc(3, 0x20)]

LOST = {"begin_ns": START, "end_ns": START + 1, "cpu": 0, "program": "", "count": 3}


def test_a_clean_trace_is_exact(tmp_path: Path) -> None:
    found = slabtrace.open(write_trace(tmp_path / "t", CLEAN)).completeness()
    assert (found.exact, found.confidence) == (True, "exact")
    assert found.verdict.startswith("Complete")


@pytest.mark.parametrize(
    ("kind", "counted", "exact"),
    [
        (Loss.RING_FULL, "dropped", False),
        (Loss.NESTING, "dropped", False),
        (Loss.RECURSION, "recursion_missed", False),
        (Loss.STACK, "stacks_lost", True),
        (Loss.LATE, "late", False),
    ],
)
def test_a_loss_is_counted_and_an_event_lost_ends_exactness(
    tmp_path: Path, kind: Loss, counted: str, exact: bool
) -> None:
    trace = write_trace(tmp_path / "t", CLEAN, {"losses": [{**LOST, "kind": kind}, {**LOST, "kind": kind}]})
    found = slabtrace.open(trace).completeness()
    assert (getattr(found, counted), found.exact) == (6, exact)


def test_a_loss_only_the_manifest_knows_counts_too(tmp_path: Path) -> None:
    manifest = Manifest(status="complete", totals=Totals(dropped=2, failed_allocs=4, null_frees=5))
    found = slabtrace.open(write_trace(tmp_path / "t", CLEAN, manifest=manifest)).completeness()
    assert (found.dropped, found.failed_allocs, found.null_frees, found.confidence) == (2, 4, 5, "bounded")


def test_what_twins_recovered_is_not_lost(tmp_path: Path) -> None:
    events = [alloc(1, 0x10), alloc(2, 0x20, flags=Flag.RECOVERED), free(3, 0x10, flags=Flag.RECOVERED)]
    again = free(4, 0x10, flags=Flag.RECOVERED)  # recorded by both programs
    skipped = [
        {**LOST, "kind": Loss.RECURSION, "program": "kfree", "count": 2},
        {**LOST, "kind": Loss.RECURSION, "program": "kfree_twin", "count": 5},
    ]
    found = slabtrace.open(write_trace(tmp_path / "t", [*events, again], {"losses": skipped})).completeness()
    assert (found.recursion_missed, found.recovered, found.duplicates) == (2, 2, 1)
    assert (found.allocs, found.frees, found.exact) == (2, 1, True)


def test_what_twins_did_not_recover_is_lost(tmp_path: Path) -> None:
    events = [alloc(1, 0x10), free(2, 0x10, flags=Flag.RECOVERED)]
    skipped = [{**LOST, "kind": Loss.RECURSION, "program": "kfree", "count": 3}]
    found = slabtrace.open(write_trace(tmp_path / "t", events, {"losses": skipped})).completeness()
    assert (found.lost, found.exact, found.confidence) == (2, False, "bounded")
    assert found.verdict.startswith("Not complete: 2 events were skipped by the kernel's recursion guard. ")
    assert found.verdict.endswith("At most 2 of the objects called outstanding may have been freed unseen.")


def test_the_end_of_a_slab_is_no_free_but_proves_one(tmp_path: Path) -> None:
    events = [alloc(1, 0x1000), alloc(2, 0x1040), free(3, 0x1040), page_end(4, 0x1000, 4096)]
    trace = slabtrace.open(write_trace(tmp_path / "t", events, batch_events=2))
    found = trace.completeness()
    assert (found.events, found.allocs, found.frees, found.page_ends) == (4, 2, 1, 1)
    assert (found.missed_frees_inferred, found.inferred_by_page_end, found.unmatched_frees) == (1, 1, 0)
    assert trace.leaks().empty
    (row,) = trace.stat().to_dict("records")
    assert (row["hits"], row["frees"], row["inferred"], row["outstanding"]) == (2, 1, 1, 0)
    ends = {row["ptr"]: row for batch in trace.lifetimes() for row in batch.to_pylist()}
    assert (ends[0x1000]["how"], ends[0x1000]["free_ts_ns"], ends[0x1000]["free_call_site"]) == (
        4,
        START + 4,
        0,
    )


def test_the_return_of_memory_after_a_kfree_rcu_is_no_second_free(tmp_path: Path) -> None:
    events = [alloc(1, 0x10), free(2, 0x10, kind=Kind.KFREE_RCU), free(3, 0x10, kind=Kind.BULK_FREE, cache=0)]
    found = slabtrace.open(write_trace(tmp_path / "t", events)).completeness()
    assert (found.events, found.frees, found.rcu_completions, found.second_frees) == (3, 1, 1, 0)


def test_an_unwatched_path_leaves_nothing_provable(tmp_path: Path) -> None:
    coverage = Coverage(unattached=[Unattached("kfree_rcu", "fentry is refused")])
    manifest = Manifest(status="complete", coverage=coverage)
    trace = slabtrace.open(write_trace(tmp_path / "t", CLEAN, manifest=manifest))
    found = trace.completeness()
    assert (found.unattached, found.exact) == (["kfree_rcu: fentry is refused"], False)
    assert set(trace.outstanding()["confidence"]) == {"unprovable"}
