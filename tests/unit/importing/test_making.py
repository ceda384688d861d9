# SPDX-License-Identifier: Apache-2.0
"""Records as a trace: the order of equal times, names, caches, tasks, and what is only counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from slabtrace.errors import TraceError, UsageError
from slabtrace.trace.format.schema import Loss
from tests.unit.importing.imports import HEADER, alloc, free, imported, line, manifest_of

A, B = 0xFFFF888000000040, 0xFFFF888000000080


def test_events_of_one_time_keep_their_order(tmp_path: Path) -> None:
    """Steps of 10 ms: allocated, freed and allocated again at what looks like one moment."""
    trace = imported(
        tmp_path, line(alloc(A)) + line(free(A)) + line(alloc(A)) + line(free(A)) + line(alloc(B))
    )
    found = trace.completeness()
    assert (found.allocs, found.frees, found.outstanding, found.missed_frees_inferred) == (3, 2, 1, 0)
    ages = [row for batch in trace.lifetimes() for row in batch.to_pylist()]
    assert len(ages) == 2


def test_time_that_goes_back_is_counted_and_the_order_kept(tmp_path: Path) -> None:
    trace = imported(tmp_path, line(alloc(A), 5.0) + line(free(A), 4.0, cpu=1) + line(alloc(B), 6.0))
    foreign = trace.manifest.foreign
    assert foreign is not None
    assert foreign.backwards == 1
    assert trace.completeness().outstanding == 1
    assert trace.length_ns == 1_000_000_000


def test_null_is_only_counted(tmp_path: Path) -> None:
    text = line("kfree: call_site=b+0x1/0x2 ptr=  (null)") + line(alloc(0)) + line(alloc(A)) + line(free(16))
    totals = manifest_of(tmp_path, text).totals
    assert (totals.null_frees, totals.failed_allocs, totals.events) == (2, 1, 1)


def test_call_sites_by_name_have_addresses_that_no_kernel_has(tmp_path: Path) -> None:
    text = line(alloc(A, site="foo+0x10/0x20 [mod]")) + line(alloc(B, site="foo+0x10/0x20 [mod]"))
    trace = imported(tmp_path, text + line(alloc(B + 64, site="other+0x1/0x2")))
    sites = {row["call_site"] for batch in trace.events(["call_site"]) for row in batch.to_pylist()}
    assert len(sites) == 2
    assert all(0xFFFF > site >> 48 > 0 for site in sites)
    assert set(trace.stat()["symbol"]) == {"foo+0x10 [mod]", "other+0x1"}
    assert trace.manifest.foreign is not None
    assert trace.manifest.foreign.named_sites


def test_an_old_call_site_keeps_its_address(tmp_path: Path) -> None:
    trace = imported(
        tmp_path, line(alloc(A, site="ffffffff81234567")) + line(alloc(B, site="ffffffff81234567"))
    )
    assert trace.stat()["symbol"].tolist() == ["0xffffffff81234567"]


def test_caches_are_named_by_the_frees_of_their_objects(tmp_path: Path) -> None:
    """kmem_cache_alloc does not name its cache before 6.18, kmem_cache_free does since 5.12."""
    parts = [line(free(0xFFFF888000900000, event="kmem_cache_free", name="dentry"))]
    for n in range(30):
        ptr = A + 256 * n
        parts.append(line(alloc(ptr, 192, "d_alloc+0x1/0x2", "kmem_cache_alloc"), 2.0 + n))
        parts.append(line(free(ptr, event="kmem_cache_free", name="dentry"), 2.1 + n))
        parts.append(line(alloc(ptr, 192, "other+0x1/0x2", "kmem_cache_alloc"), 2.2 + n))
        parts.append(line(free(ptr), 2.3 + n))
        parts.append(line(alloc(ptr + 64, 96, "k+0x1/0x2"), 2.4 + n))
    trace = imported(tmp_path, "".join(parts))
    caches = trace.caches().set_index("cache")
    assert caches.loc["dentry", "allocs"] == 30
    assert caches.loc["(192-byte objects)", "allocs"] == 30
    assert caches.loc["kmalloc-96", "outstanding"] == 30


def test_a_large_kmalloc_fires_twice_only_since_6_12(tmp_path: Path) -> None:
    first = alloc(A, 16384, "kmalloc_large+0x1/0x2")
    text = line(first, 1.0) + line(alloc(A, 16384, "caller+0x1/0x2"), 1.000010)
    old, new = imported(tmp_path, text, kernel="4.4").completeness(), None
    new = imported(tmp_path, text, kernel="6.12.1").completeness()
    assert (old.missed_frees_inferred, old.duplicates) == (1, 0)
    assert (new.missed_frees_inferred, new.duplicates) == (0, 1)


@pytest.mark.parametrize(
    ("kernel", "after"), [("5.4", True), ("6.0.12", True), ("6.1", False), ("", True), ("7.0", False)]
)
def test_when_frees_were_traced_before_they_happened(tmp_path: Path, kernel: str, after: bool) -> None:
    manifest = manifest_of(tmp_path, line(alloc(A)), kernel=kernel)
    assert manifest.coverage.free_traced_after is after
    assert manifest.host.release == kernel


def test_coverage_says_what_such_a_recording_lacks(tmp_path: Path) -> None:
    coverage = manifest_of(tmp_path, line(alloc(A)) + line(free(A))).coverage
    lacking = {each.path for each in coverage.unattached}
    assert coverage.attached == ["kfree", "kmalloc"]
    assert {
        "kmem_cache_free_bulk",
        "kvfree_call_rcu",
        "slab ends",
        "slab states",
        "kmem_cache_free",
    } <= lacking


def test_losses_are_in_the_ledger(tmp_path: Path) -> None:
    text = line(alloc(A), 1.0) + "CPU:0 [LOST 41 EVENTS]\n" + line(alloc(B), 3.0)
    trace = imported(tmp_path, text)
    ledger = trace._recorded.ledger.to_pylist()
    assert [(row["kind"], row["count"], row["program"]) for row in ledger] == [
        (int(Loss.FOREIGN), 41, "ftrace")
    ]
    assert trace.completeness().lost == 41


def test_what_was_overwritten_came_before_the_first_event(tmp_path: Path) -> None:
    trace = imported(tmp_path, HEADER.format(2, 9, 1) + line(alloc(A), 5.0) + line(free(A), 6.0))
    (row,) = trace._recorded.ledger.to_pylist()
    assert (row["count"], row["end_ns"]) == (7, 5_000_000_000)
    assert trace.completeness().verdict.startswith("Not complete: 7 older events were overwritten")


@pytest.mark.parametrize(
    ("tasks", "sign"),
    [
        (["sh-7"] * 6, "all events are of task 7"),
        ([f"fio-{n}" for n in range(6)], "all events are of tasks called fio"),
        ([f"fio/{n}-{n}" for n in range(6)], ""),
        ([f"<...>-{n}" for n in range(6)], ""),
    ],
)
def test_a_filter_by_task_is_suspected(tmp_path: Path, tasks: list[str], sign: str) -> None:
    text = "".join(line(alloc(A + 64 * n, 8 + n), n, task=task) for n, task in enumerate(tasks))
    foreign = manifest_of(tmp_path, text).foreign
    assert foreign is not None
    assert [each for each in foreign.suspected if "events" in each] == ([sign] if sign else [])


def test_hashed_pointers_are_noticed(tmp_path: Path) -> None:
    foreign = manifest_of(tmp_path, line(alloc(0x3218205)) + line(alloc(0x873301D3))).foreign
    assert foreign is not None
    assert foreign.pointers == "hashed"


@pytest.mark.parametrize("text", ["", "# tracer: nop\n", line("sched_switch: a=1") * 3])
def test_a_recording_without_kmem_events_is_refused_and_nothing_is_written(tmp_path: Path, text: str) -> None:
    with pytest.raises(TraceError):
        manifest_of(tmp_path, text)
    assert not (tmp_path / "t.slab").exists()


def test_a_trace_is_not_overwritten(tmp_path: Path) -> None:
    from slabtrace.importing.formats.sources import Source
    from slabtrace.importing.recording import import_recording

    manifest_of(tmp_path, line(alloc(A)))
    with pytest.raises(UsageError, match="exists already"):
        import_recording([Source(tmp_path / "0.txt")], tmp_path / "t.slab")
