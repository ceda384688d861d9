# SPDX-License-Identifier: Apache-2.0
"""What completeness counts, and what makes a trace not exact: each kind of loss, and what is not a loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.analysis.trust.completeness import PROCESS_1, Completeness, _verdict
from slabtrace.render.terminal.verdict import short_verdict
from slabtrace.trace.format.schema import Flag, Kind, Loss
from slabtrace.trace.manifest import Coverage, Manifest, Totals, Unattached
from tests.unit.synthetic import START, Event, alloc, free, page_end, write_trace

CLEAN = [alloc(1, 0x10), free(2, 0x10), alloc(3, 0x20)]

LOST = {"begin_ns": START, "end_ns": START + 1, "cpu": 0, "program": "", "count": 3}


TWIN = {"flags": Flag.RECOVERED}


def missed(program: str, count: int) -> dict[str, Any]:
    return {**LOST, "kind": Loss.RECURSION, "program": program, "count": count}


def assessed(
    folder: Path,
    events: Sequence[Event],
    losses: list[dict[str, Any]],
    preemptible: bool,
    totals: Totals | None = None,
) -> Completeness:
    """Completeness of a trace that was recorded with a twin on each tracepoint."""
    twins = ["kmalloc_twin", "kmem_cache_alloc_twin", "kfree_twin", "kmem_cache_free_twin"]
    coverage = Coverage(twins=twins, programs_preemptible=preemptible)
    manifest = Manifest(status="complete", coverage=coverage, totals=totals or Totals())
    return slabtrace.open(
        write_trace(folder / "t", events, {"losses": losses}, manifest=manifest)
    ).completeness()


def test_a_clean_trace_is_exact(tmp_path: Path) -> None:
    found = slabtrace.open(write_trace(tmp_path / "t", CLEAN)).completeness()
    assert (found.exact, found.confidence) == (True, "exact")
    assert found.verdict.startswith("Complete")


@pytest.mark.parametrize(
    ("kind", "counted", "exact"),
    [
        (Loss.RING_FULL, "dropped", False),
        (Loss.NESTING, "dropped", False),
        (Loss.BULK_REST, "dropped", False),
        (Loss.WITHOUT_RING, "dropped", False),
        (99, "dropped", False),  # of a newer version
        (Loss.RECURSION, "recursion_missed", False),
        (Loss.STACK, "stacks_lost", True),
        (Loss.LATE, "late", False),
    ],
)
def test_a_lost_event_is_counted_and_makes_the_trace_not_exact(
    tmp_path: Path, kind: Loss, counted: str, exact: bool
) -> None:
    trace = write_trace(tmp_path / "t", CLEAN, {"losses": [{**LOST, "kind": kind}, {**LOST, "kind": kind}]})
    found = slabtrace.open(trace).completeness()
    assert (getattr(found, counted), found.exact) == (6, exact)


def test_a_loss_that_only_the_manifest_has_is_counted(tmp_path: Path) -> None:
    manifest = Manifest(status="complete", totals=Totals(dropped=2, failed_allocs=4, null_frees=5))
    found = slabtrace.open(write_trace(tmp_path / "t", CLEAN, manifest=manifest)).completeness()
    assert (found.dropped, found.failed_allocs, found.null_frees, found.confidence) == (2, 4, 5, "bounded")


def test_cgroups_that_could_not_be_judged_make_the_trace_not_exact(tmp_path: Path) -> None:
    manifest = Manifest(status="complete", options={"cgroup": "/a"}, totals=Totals(cgroups_unjudged=2))
    found = slabtrace.open(write_trace(tmp_path / "t", CLEAN, manifest=manifest)).completeness()
    assert (found.cgroups_unjudged, found.exact) == (2, False)
    assert found.verdict.startswith(
        "Not complete: 2 cgroups that were made while recording could not be judged by --cgroup. Filtered: "
    ), found.verdict
    assert "2 cgroups that --cgroup could not judge" in short_verdict(found, "t")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((1, 0, 0), "1 free was missed and inferred from address reuse"),
        ((3, 3, 0), "3 frees were missed and inferred from the end of their slab"),
        (
            (9, 3, 1),
            "9 frees were missed and inferred (5 from address reuse, 3 from the end of their slab, 1 from "
            "the slab's own list at the end)",
        ),
    ],
)
def test_the_verdict_says_how_frees_were_inferred(counts: tuple[int, int, int], expected: str) -> None:
    inferred, page_ended, found_free = counts
    found = Completeness(
        missed_frees_inferred=inferred, inferred_by_page_end=page_ended, found_free=found_free, exact=False
    )
    assert _verdict(found) == f"Not complete: {expected}."


def test_the_verdict_names_the_paths_that_cannot_be_traced() -> None:
    paths = ["kvfree_call_rcu: refused", "a_new_path: refused"]
    verdict = _verdict(Completeness(unattached=paths, exact=False, outstanding=2, in_use=1))
    assert "2 paths that allocate or free (kfree_rcu, a_new_path) cannot be traced" in verdict
    assert "Confirmed in use at the end: 1 of 2 outstanding objects. The others are not verified" in verdict


def test_process_1_hidden_by_the_kernel_is_no_path() -> None:
    hidden = "what process 1 does, and what interrupts it, cannot be traced on this kernel. "
    only, both = (
        _verdict(Completeness(unattached=paths, exact=False, outstanding=2))
        for paths in ([f"{PROCESS_1}: so"], ["kvfree_call_rcu: refused", f"{PROCESS_1}: so"])
    )
    assert only.startswith(f"Not complete: {hidden}Not verified")
    assert "1 path that allocates or frees (kfree_rcu) cannot be traced" in both and f"; {hidden}" in both


def test_what_twins_recovered_is_not_lost(tmp_path: Path) -> None:
    events = [
        alloc(1, 0x10),
        alloc(2, 0x20, **TWIN),
        free(3, 0x10, **TWIN),
        alloc(4, 0x10),
        free(5, 0x10),
        free(6, 0x10, **TWIN),  # recorded by both programs
    ]
    skipped = [missed("kmalloc", 1), missed("kfree", 1), missed("kfree_twin", 5)]
    found = assessed(tmp_path, events, skipped, preemptible=False)
    assert (found.recursion_missed, found.recovered, found.duplicates) == (2, 2, 1)
    assert (found.allocs, found.frees, found.exact) == (3, 2, True)


def test_what_twins_did_not_recover_is_lost(tmp_path: Path) -> None:
    events = [alloc(1, 0x10), free(2, 0x10, **TWIN)]
    found = assessed(tmp_path, events, [missed("kfree", 3), missed("kfree_twin", 9)], preemptible=False)
    assert (found.lost, found.exact, found.confidence) == (2, False, "bounded")
    guard = "Not complete: 2 events were skipped by the kernel's recursion guard."
    assert found.verdict == guard
    skipped = [missed("kfree", 3), missed("kfree_twin", 9)]
    found = assessed(tmp_path / "2", [*events, alloc(3, 0x30)], skipped, preemptible=False)
    bound = "Upper bound: 1 of the outstanding objects may have been freed without being seen."
    assert found.verdict == f"{guard} {bound}"


@pytest.mark.parametrize("preemptible", [False, True])
def test_a_twins_late_record_recovers_no_event(tmp_path: Path, preemptible: bool) -> None:
    """A free was recovered, an allocation was recorded twice 0.2 s apart, and a kfree_rcu was lost."""
    events = [alloc(1, 0x10), free(2, 0x10, **TWIN), alloc(3, 0x20), alloc(200_000_000, 0x20, **TWIN)]
    skipped = [missed("kfree", 1), missed("on_kvfree_call_rcu", 1)]
    totals = Totals(recovered=2)
    found = assessed(tmp_path, events, skipped, preemptible, totals)
    assert (found.missed_frees_inferred, found.recursion_missed, found.skipped) == (1 - preemptible, 2, 1)
    assert (found.duplicates, found.recovered, found.allocs) == (
        preemptible,
        2 - preemptible,
        3 - preemptible,
    )
    assert found.confidence == "bounded"


@pytest.mark.parametrize(
    ("own", "stored", "exact"),
    [
        (0, 0, True),  # its program was never skipped: this record is a duplicate
        (1, 1, True),  # it was skipped, for another event that is in the trace
        (1, 0, False),  # it may have been skipped for this one; then a free was missed before
        (2, 1, False),
    ],
)
def test_a_duplicate_is_uncertain_if_its_program_was_skipped_more_often_than_known(
    tmp_path: Path, own: int, stored: int, exact: bool
) -> None:
    others = [alloc(3 + i, 0x1000 * (i + 1), **TWIN) for i in range(stored)]
    events = [alloc(1, 0x20), *others, alloc(200_000_000, 0x20, **TWIN)]
    found = assessed(tmp_path, events, [missed("kmalloc", own)] if own else [], preemptible=True)
    assert (found.duplicates, found.missed_frees_inferred, found.recovered) == (1, 0, stored)
    assert (found.skipped, found.exact) == (int(not exact), exact)


def test_a_large_kmalloc_that_its_twin_recovered_is_not_a_duplicate(tmp_path: Path) -> None:
    """It fires twice, and the program was skipped the second time."""
    second = alloc(2, 0x10, flags=Flag.LARGE | Flag.RECOVERED, call_site=0x999)
    found = assessed(tmp_path, [alloc(1, 0x10, flags=Flag.LARGE), second], [missed("kmalloc", 1)], True)
    assert (found.duplicates, found.recovered, found.allocs, found.exact) == (1, 1, 1, True)


def test_events_recovered_by_another_twin_do_not_compensate_losses(tmp_path: Path) -> None:
    events = [alloc(1, 0x10), alloc(2, 0x20, **TWIN), alloc(3, 0x30, **TWIN)]
    skipped = [missed("kmalloc", 2), missed("kmalloc_twin", 3), missed("kfree", 2), missed("kfree_twin", 1)]
    found = assessed(tmp_path, events, skipped, preemptible=True)
    assert (found.recursion_missed, found.recovered, found.skipped) == (4, 2, 1)


def test_recovered_events_that_are_not_stored_count_if_twins_are_not_late(tmp_path: Path) -> None:
    """Such as a kfree(NULL).  If a twin's record may be late, the kernel's total may count it twice."""
    skipped = [missed("kfree", 2), missed("kfree_twin", 2)]
    for preemptible, left in ((False, 0), (True, 2)):
        found = assessed(tmp_path / str(preemptible), CLEAN, skipped, preemptible, Totals(recovered=2))
        assert found.skipped == left


def test_the_end_of_a_slab_is_not_a_free_but_infers_frees(tmp_path: Path) -> None:
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


def test_the_late_free_of_a_kfree_rcu_is_not_a_second_free(tmp_path: Path) -> None:
    events = [alloc(1, 0x10), free(2, 0x10, kind=Kind.KFREE_RCU), free(3, 0x10, kind=Kind.BULK_FREE, cache=0)]
    found = slabtrace.open(write_trace(tmp_path / "t", events)).completeness()
    assert (found.events, found.frees, found.rcu_completions, found.second_frees) == (3, 1, 1, 0)


def test_a_path_that_is_not_traced_makes_findings_unverified(tmp_path: Path) -> None:
    coverage = Coverage(unattached=[Unattached("kfree_rcu", "fentry is refused")])
    manifest = Manifest(status="complete", coverage=coverage)
    trace = slabtrace.open(write_trace(tmp_path / "t", CLEAN, manifest=manifest))
    found = trace.completeness()
    assert (found.unattached, found.exact) == (["kfree_rcu: fentry is refused"], False)
    assert set(trace.outstanding()["confidence"]) == {"unprovable"}
