# SPDX-License-Identifier: Apache-2.0
"""Double, invalid and wrong-cache frees in hand-made recordings: what is reported, and how certain it is.

Objects of "things" have 208 bytes, 39 in a slab of two pages; the slab is at SLAB.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import Flag, Kind, Loss
from slabtrace.trace.manifest import Coverage, Host, Manifest, Unattached
from slabtrace.trace.writing.writer import TraceWriter
from tests.unit.synthetic import START, Event, alloc, free, intern, page_end, write_trace

SLAB, SIZE = 0xFFFF888000126000, 208
THINGS, OTHERS, PADDED = 0xC0, 0xC1, 0xC2
OBJECT = SLAB + 3 * SIZE
HERE: dict[str, Any] = {"cache": THINGS, "kind": Kind.CACHE_FREE}
MADE: dict[str, Any] = {"cache": THINGS, "kind": Kind.CACHE_ALLOC, "bytes_req": 200, "bytes_alloc": SIZE}


def cache(address: int, name: str, size: int, order: int) -> dict[str, Any]:
    return {
        "cache": address, "name": name, "aliases": [], "object_size": size - 8, "size": size, "slab_flags": 0,
        "order": order, "objects_per_slab": (4096 << order) // size, "reclaimable": False, "first_seen_ns": 0,
    }  # fmt: skip


CACHES = [
    cache(THINGS, "things", SIZE, 1),
    cache(OTHERS, "others", 96, 0),
    cache(PADDED, "padded", 320, 1),
]
TASKS = [
    {"ts_ns": 0, "tid": 7, "tgid": 70, "comm": "maker"},
    {"ts_ns": 0, "tid": 8, "tgid": 80, "comm": "breaker"},
]
SAMPLE = {"name": "things"} | dict.fromkeys(schema.SLABINFO.names[2:], 1)
LOST = {"kind": Loss.RING_FULL, "count": 3, "cpu": 0, "program": "", "begin_ns": START, "end_ns": START + 50}


def found(
    folder: Path, events: Sequence[Event], manifest: Manifest | None = None, losses: Sequence[Any] = ()
) -> list[dict[Any, Any]]:
    """The findings in a trace of `events`, without KFENCE and with all paths traced."""
    manifest = manifest or Manifest(host=Host(kfence=False, red_left_pad={"padded": 64}))
    manifest.status = "complete"
    tables = {"caches": CACHES, "tasks": TASKS, "losses": list(losses)}
    path = write_trace(folder / "t.slab", events, tables, manifest=manifest, seconds=10)
    rows: list[dict[Any, Any]] = slabtrace.open(path).mismatches().to_dict("records")
    return rows


def test_a_double_free_has_all_three_events(tmp_path: Path) -> None:
    events = [
        alloc(100, OBJECT, call_site=0x111, tid=7, cpu=0, **MADE),
        free(200, OBJECT, call_site=0x222, tid=7, cpu=1, **HERE),
        free(300, OBJECT, call_site=0x333, tid=8, cpu=3, **HERE),
    ]
    (finding,) = found(tmp_path, events)
    assert (finding["kind"], finding["ptr"], finding["cache"]) == ("double-free", OBJECT, "things")
    assert (finding["confidence"], finding["maybe_missed"]) == ("exact", 0)
    shown = [
        (e["ts_ns"], e["cpu"], e["pid"], e["tid"], e["comm"], e["call_site"], e["called"])
        for e in (finding["alloc"], finding["first_free"], finding["second_free"])
    ]
    assert shown == [
        (100, 0, 70, 7, "maker", 0x111, "kmem_cache_alloc"),
        (200, 1, 70, 7, "maker", 0x222, "kmem_cache_free"),
        (300, 3, 80, 8, "breaker", 0x333, "kmem_cache_free"),
    ]


def test_a_third_free_is_a_separate_finding(tmp_path: Path) -> None:
    events = [alloc(1, OBJECT, **MADE), *(free(ts, OBJECT, **HERE) for ts in (2, 3, 4))]
    findings = found(tmp_path, events)
    assert [(f["first_free"]["ts_ns"], f["second_free"]["ts_ns"]) for f in findings] == [(2, 3), (2, 4)]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([free(1, OBJECT, **HERE)], id="an older object"),
        pytest.param(
            [alloc(1, OBJECT, **MADE), alloc(2, OBJECT, **MADE), free(3, OBJECT, **HERE)], id="used again"
        ),
        pytest.param(
            [
                alloc(1, OBJECT, **MADE),
                free(2, OBJECT, cache=THINGS, kind=Kind.KFREE_RCU),
                free(9, OBJECT, cache=THINGS),
            ],
            id="completion of a kfree_rcu",
        ),
        pytest.param([alloc(1, OBJECT, **MADE), free(2, OBJECT, cache=THINGS)], id="kfree of any cache's"),
        pytest.param(
            [alloc(1, OBJECT, **MADE), page_end(2, SLAB, 8192), free(3, OBJECT, **HERE)], id="slab given back"
        ),
        pytest.param([free(1, OBJECT + 8, cache=0, flags=Flag.CACHE_UNKNOWN)], id="owner unknown"),
        pytest.param([free(1, SLAB + 8192 + 20, cache=0xCC)], id="cache unknown"),
        pytest.param([free(1, 0xFFFF888000550000, cache=0, flags=Flag.LARGE)], id="large, older"),
        pytest.param([free(1, SLAB + 4096 + 2 * SIZE, **HERE)], id="a start in a slab of the least order"),
        pytest.param([free(1, SLAB + 64 + 320, **HERE | {"cache": PADDED})], id="behind the red zone"),
    ],
)
def test_sequences_without_a_mismatch(tmp_path: Path, events: list[Event]) -> None:
    assert found(tmp_path, events) == []


@pytest.mark.parametrize("into", [1, 8, 207])
@pytest.mark.parametrize("seen", [True, False])
def test_a_free_inside_an_object_is_invalid(tmp_path: Path, into: int, seen: bool) -> None:
    made = [alloc(1, OBJECT, call_site=0x111, **MADE)] if seen else []
    (finding,) = found(tmp_path, [*made, free(2, OBJECT + into, call_site=0x222, **HERE)])
    assert (finding["kind"], finding["cache"], finding["offset"]) == ("invalid-free", "things", into)
    assert (finding["confidence"], finding["second_free"]) == ("exact", None)
    assert (finding["first_free"]["ts_ns"], finding["first_free"]["call_site"]) == (2, 0x222)
    assert (finding["alloc"] or {}).get("call_site") == (0x111 if seen else None)


def test_a_free_behind_the_last_object_of_a_slab_is_invalid(tmp_path: Path) -> None:
    assert 39 * SIZE + 16 < 8192, "there is room"
    (finding,) = found(tmp_path, [free(1, SLAB + 39 * SIZE, **HERE)])
    assert finding["kind"] == "invalid-free"


def test_a_free_inside_the_object_of_a_smaller_slab_finds_its_allocation(tmp_path: Path) -> None:
    """When memory was short, the slab got the smallest order, and begins at the second page."""
    start = SLAB + 4096 + 2 * SIZE
    (finding,) = found(tmp_path, [alloc(1, start, **MADE), free(2, start + 8, **HERE)])
    assert (finding["offset"], finding["alloc"]["ts_ns"]) == (8, 1)


def test_the_same_interior_address_freed_twice_is_twice_invalid(tmp_path: Path) -> None:
    events = [alloc(1, OBJECT, **MADE), *(free(ts, OBJECT + 8, **HERE) for ts in (2, 3))]
    assert [f["kind"] for f in found(tmp_path, events)] == ["invalid-free", "invalid-free"]


def test_a_free_inside_a_large_kmalloc_is_invalid(tmp_path: Path) -> None:
    large: dict[str, Any] = {"cache": 0, "flags": Flag.LARGE}
    start = 0xFFFF888000550000
    made = alloc(1, start, bytes_req=40_000, bytes_alloc=65_536, **large)
    (finding,) = found(tmp_path, [made, free(2, start + 5 * 4096 + 24, **large)])
    assert (finding["kind"], finding["offset"]) == ("invalid-free", 5 * 4096 + 24)
    assert (finding["cache"], finding["alloc"]["ts_ns"]) == ("(large kmalloc)", 1)


@pytest.mark.parametrize(
    ("kfence", "confidence"), [(False, "exact"), (True, "unprovable"), (None, "unprovable")]
)
def test_an_invalid_free_may_be_of_kfence(tmp_path: Path, kfence: bool | None, confidence: str) -> None:
    (finding,) = found(tmp_path, [free(2, OBJECT + 8, **HERE)], Manifest(host=Host(kfence=kfence)))
    assert finding["confidence"] == confidence


@pytest.mark.parametrize(
    ("again", "number"),
    [({}, 0), ({"call_site": 0x333}, 1), ({"tid": 8}, 1), ({"flags": 0}, 1)],
)
def test_a_twins_late_record_is_not_a_double_free(tmp_path: Path, again: dict[str, Any], number: int) -> None:
    """From 7.0 on, a task may be preempted between a program and its twin for longer than the wait."""
    second = {"call_site": 0x222, "tid": 7, "flags": Flag.RECOVERED} | HERE | again
    events = [alloc(1, OBJECT, **MADE), free(2, OBJECT, call_site=0x222, tid=7, **HERE)]
    assert len(found(tmp_path, [*events, free(50_000_000, OBJECT, **second)])) == number


def test_a_free_of_an_unknown_kind_is_reported(tmp_path: Path) -> None:
    newer = free(3, OBJECT, cache=THINGS, kind=schema.FREE_BIT | 0x0F, call_site=0x333)
    (finding,) = found(tmp_path, [alloc(1, OBJECT, **MADE), free(2, OBJECT, call_site=0x222, **HERE), newer])
    assert (finding["kind"], finding["second_free"]["called"]) == ("double-free", "?")


@pytest.mark.parametrize(("preemptible", "confidence"), [(True, "exact"), (False, "unprovable")])
def test_an_allocation_recorded_twice_is_followed_by_one_free(
    tmp_path: Path, preemptible: bool, confidence: str
) -> None:
    """If it were two allocations, a free was missed between them, and another after the first free."""
    again = alloc(50_000_000, OBJECT, flags=Flag.RECOVERED, **MADE)
    frees = [free(60_000_000, OBJECT, **HERE), free(70_000_000, OBJECT, call_site=0x333, **HERE)]
    manifest = Manifest(coverage=Coverage(programs_preemptible=preemptible))
    (finding,) = found(tmp_path, [alloc(1, OBJECT, **MADE), again, *frees], manifest)
    assert (finding["kind"], finding["confidence"]) == ("double-free", confidence)


JUDGED = Manifest(host=Host(kfence=True), coverage=Coverage(frees_judged=True))


@pytest.mark.parametrize("seen", [True, False])
def test_frees_that_the_programs_checked_are_exact_with_kfence(tmp_path: Path, seen: bool) -> None:
    made = [alloc(1, OBJECT, **MADE)] if seen else []
    events = [*made, free(2, OBJECT + 8, flags=Flag.INTERIOR, **HERE)]
    (finding,) = found(tmp_path, events, JUDGED)
    assert (finding["kind"], finding["offset"], finding["confidence"]) == ("invalid-free", 8, "exact")


@pytest.mark.parametrize(
    ("kind", "seen", "confidence"),
    [
        (Kind.CACHE_FREE, False, "unprovable"),
        (Kind.CACHE_FREE, True, "exact"),
        (Kind.KFREE, False, "exact"),
    ],
)
def test_what_was_judged_after_the_free_may_be_of_another_slab(
    tmp_path: Path, kind: Kind, seen: bool, confidence: str
) -> None:
    """Up to 6.0 kmem_cache_free is traced after the free: by then the page may be of another cache."""
    coverage = Coverage(frees_judged=True, free_traced_after=True)
    manifest = Manifest(host=Host(kfence=False), coverage=coverage)
    made = [alloc(1, OBJECT, **MADE)] if seen else []
    wrong = free(2, OBJECT + 8, flags=Flag.INTERIOR, **{**HERE, "kind": kind})
    (finding,) = found(tmp_path, [*made, wrong], manifest)
    assert (finding["kind"], finding["confidence"]) == ("invalid-free", confidence)


def test_an_odd_address_that_the_programs_accepted_is_of_kfence(tmp_path: Path) -> None:
    assert found(tmp_path, [free(2, OBJECT + 8, **HERE)], JUDGED) == []


def test_bulk_frees_are_checked_afterwards(tmp_path: Path) -> None:
    bulk = {"kind": Kind.BULK_FREE, "cache": THINGS}
    (finding,) = found(tmp_path, [free(2, OBJECT + 8, **bulk)], JUDGED)
    assert (finding["kind"], finding["confidence"]) == ("invalid-free", "unprovable")


@pytest.mark.parametrize(("goes_on", "named"), [(True, None), (False, "others")])
def test_a_free_to_the_wrong_cache_that_the_kernel_reported(
    tmp_path: Path, goes_on: bool, named: str | None
) -> None:
    """Up to about 6.19 the kernel traces the object's cache; later the named one, and does not free."""
    wrong = {"kind": Kind.WRONG_CACHE_FREE, "cache": THINGS if goes_on else OTHERS, "call_site": 0x222}
    events = [alloc(1, OBJECT, **MADE), free(2, OBJECT, **wrong)]
    events += [free(3_000_000, OBJECT, **HERE)] if goes_on else []
    manifest = Manifest(coverage=Coverage(unattached=[Unattached("kmem_cache_free_bulk", "refused")]))
    (finding,) = found(tmp_path, events, manifest)
    assert (finding["kind"], finding["cache"], finding["named_cache"]) == (
        "wrong-cache-free",
        "things",
        named,
    )
    assert (finding["confidence"], finding["second_free"]) == ("exact", None)
    assert (finding["alloc"]["ts_ns"], finding["first_free"]["call_site"]) == (1, 0x222)


def test_a_free_that_names_another_cache_than_the_allocation(tmp_path: Path) -> None:
    events = [alloc(1, OBJECT, **MADE), free(2, OBJECT, kind=Kind.CACHE_FREE, cache=OTHERS)]
    (finding,) = found(tmp_path, events)
    assert (finding["kind"], finding["cache"], finding["named_cache"]) == (
        "wrong-cache-free",
        "things",
        "others",
    )
    assert finding["confidence"] == "exact"


def test_before_6_1_the_cache_of_a_free_is_no_evidence(tmp_path: Path) -> None:
    """The free is traced after it is done: the page may already have another owner."""
    events = [alloc(1, OBJECT, **MADE), free(2, OBJECT, kind=Kind.CACHE_FREE, cache=OTHERS)]
    assert found(tmp_path, events, Manifest(coverage=Coverage(free_traced_after=True))) == []


TWICE = [alloc(10, OBJECT, **MADE), free(20, OBJECT, **HERE), free(5_000_000_000, OBJECT, **HERE)]


@pytest.mark.parametrize(
    ("untraced", "confidence"),
    [
        ("kmem_cache_alloc_bulk", "unprovable"),
        ("a path of tomorrow", "unprovable"),
        ("kmem_cache_free_bulk", "exact"),
    ],
)
def test_a_missed_allocation_would_explain_a_double_free(
    tmp_path: Path, untraced: str, confidence: str
) -> None:
    manifest = Manifest(coverage=Coverage(unattached=[Unattached(untraced, "refused")]))
    (finding,) = found(tmp_path, TWICE, manifest)
    assert finding["confidence"] == confidence


def test_a_filtered_allocation_would_explain_a_double_free(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, TWICE, Manifest(options={"min_size": 1024}))
    assert finding["confidence"] == "unprovable"


def test_events_lost_since_the_first_free_make_it_an_upper_bound(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, TWICE, losses=[LOST])
    assert (finding["confidence"], finding["maybe_missed"]) == ("bounded", 3)


def test_events_lost_before_the_first_free_do_not_matter(tmp_path: Path) -> None:
    late = [
        alloc(10, OBJECT, **MADE),
        free(3_000_000_000, OBJECT, **HERE),
        free(5_000_000_000, OBJECT, **HERE),
    ]
    (finding,) = found(tmp_path, late, losses=[LOST])
    assert (finding["confidence"], finding["maybe_missed"]) == ("exact", 0)


def test_two_frees_after_two_allocations_may_belong_to_one_each(tmp_path: Path) -> None:
    events = [alloc(1, OBJECT, **MADE), alloc(2, OBJECT, **MADE)]
    events += [free(3, OBJECT, **HERE), free(50_000, OBJECT, **HERE)]
    (finding,) = found(tmp_path, events)
    assert (finding["kind"], finding["confidence"]) == ("double-free", "unprovable")


def test_the_surest_findings_come_first(tmp_path: Path) -> None:
    other = SLAB + 9 * SIZE
    events = [alloc(1, OBJECT, **MADE), alloc(2, OBJECT, **MADE), alloc(3, other, **MADE)]
    events += [
        free(4, OBJECT, **HERE),
        free(5, OBJECT, **HERE),
        free(6, other, **HERE),
        free(7, other, **HERE),
    ]
    findings = found(tmp_path, events)
    assert [(f["ptr"], f["confidence"]) for f in findings] == [(other, "exact"), (OBJECT, "unprovable")]


@pytest.mark.parametrize(
    ("torn", "books_ns", "confidence"),
    [(False, 400, "exact"), (False, 250, "unprovable"), (True, 400, "unprovable")],
)
def test_after_a_kill_findings_within_the_loss_ledger_are_exact(
    tmp_path: Path, torn: bool, books_ns: int, confidence: str
) -> None:
    """A double free at 200 and 300; slabinfo is sampled just after the loss ledger is written."""
    events = [alloc(100, OBJECT, **MADE), free(200, OBJECT, **HERE), free(300, OBJECT, **HERE)]
    batch, sites = intern(events)
    writer = TraceWriter(tmp_path / "t.slab", Manifest(status="recording", started_ns=START))
    writer.rows("caches", {name: [row[name] for row in CACHES] for name in CACHES[0]})
    writer.rows("sites", {**sites, "site": range(len(sites["kind"]))})
    writer.rows("slabinfo", {name: [SAMPLE.get(name, START + books_ns)] for name in schema.SLABINFO.names})
    writer.events(batch)
    if torn:
        with (tmp_path / "t.slab/losses.arrow").open("ab") as file:
            file.write(b"\xff\xff\xff\xff\x30\x01")
    (finding,) = slabtrace.open(tmp_path / "t.slab").mismatches().to_dict("records")
    assert (finding["kind"], finding["confidence"]) == ("double-free", confidence)
