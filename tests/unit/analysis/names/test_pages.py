# SPDX-License-Identifier: Apache-2.0
"""Pages and areas of vmalloc (record --pages, --vmalloc): caches of their own, paired page by page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import slabtrace
from slabtrace.analysis.names.cache_names import allocator_of
from slabtrace.trace.format.schema import PAGES_OF_ORDER, Kind, Loss
from slabtrace.trace.manifest import Coverage, Manifest, Unattached
from tests.unit.synthetic import Event, alloc, free, write_trace

PAGE = 4096
DRIVER, OTHER = 0x500, 0x700


def block(ts: int, ptr: int, order: int, **fields: int) -> list[Event]:
    """As the recorder stores a block: an event for each page."""
    sizes = {"bytes_req": PAGE, "bytes_alloc": PAGE, "cache": PAGES_OF_ORDER + order, "call_site": DRIVER}
    fields = {"kind": Kind.PAGES_ALLOC, **sizes, **fields}
    return [alloc(ts, ptr + i * PAGE, **fields) for i in range(1 << order)]


def freed(ts: int, ptr: int, order: int = 0) -> list[Event]:
    kind, cache = Kind.PAGES_FREE, PAGES_OF_ORDER + order
    return [free(ts, ptr + i * PAGE, kind=kind, cache=cache, call_site=OTHER) for i in range(1 << order)]


def opened(folder: Path, events: Sequence[Event], manifest: Manifest | None = None) -> slabtrace.api.Trace:
    return slabtrace.open(write_trace(folder / "t.slab", events, manifest=manifest))


@pytest.fixture
def trace(tmp_path: Path) -> slabtrace.api.Trace:
    """Two blocks of four pages; one is freed whole, of the other the first and the last page alone."""
    events = [
        *block(1, 0x10000, 2),
        *block(2, 0x20000, 2),
        alloc(3, 0x90040, tid=9),
        *freed(4, 0x10000, 2),
        *freed(5, 0x20000),
        *freed(6, 0x23000),
        alloc(7, 0xFFFFC900_00010000, kind=Kind.VMALLOC, cache=0, bytes_req=3 * PAGE, bytes_alloc=3 * PAGE),
    ]
    return opened(tmp_path, events)


def test_pages_are_caches_by_order(trace: slabtrace.api.Trace) -> None:
    row = trace.caches().set_index("cache").loc["(pages order 2)"]
    assert (row["allocs"], row["frees"], row["outstanding"]) == (8, 6, 2)
    assert row["bytes_alloc"] == 8 * PAGE
    assert row["size"] == PAGE


def test_pages_of_a_split_block_are_freed_one_by_one(trace: slabtrace.api.Trace) -> None:
    leaks = trace.leaks(by="call_site").set_index("cache")
    assert leaks.loc["(pages order 2)", "outstanding"] == 2
    assert leaks.loc["(pages order 2)", "bytes_alloc"] == 2 * PAGE
    assert leaks.loc["(vmalloc)", "bytes_alloc"] == 3 * PAGE
    assert not len(trace.mismatches())


def test_findings_name_the_allocator(trace: slabtrace.api.Trace) -> None:
    found = trace.findings()
    assert dict(zip(found["cache"], found["allocator"], strict=True)) == {
        "(pages order 2)": "pages",
        "(vmalloc)": "vmalloc",
        "(cache at 0xc0)": "slab",
    }
    assert sorted(found["rank"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("cache", "allocator"),
    [("(large kmalloc)", "large kmalloc"), ("(percpu)", "percpu"), ("dentry", "slab"), ("(unknown)", "")],
)
def test_allocators(cache: str, allocator: str) -> None:
    assert allocator_of(cache) == allocator


def test_their_frees_cannot_take_the_silent_paths_of_slabs(trace: slabtrace.api.Trace) -> None:
    trace.manifest.coverage = Coverage(unattached=[Unattached("kmem_cache_free_bulk", "no fentry")])
    leaks = trace.leaks(by="cache").set_index("cache")
    assert leaks.loc["(pages order 2)", "confidence"] == "exact"
    assert leaks.loc["(cache at 0xc0)", "confidence"] == "unprovable"


def test_a_lost_event_may_have_been_the_free_of_a_whole_block(tmp_path: Path) -> None:
    """An event was lost after the allocations: it may have freed four pages of order 2, or one of order 0."""
    events = [*block(1, 0x10000, 2), *block(2, 0x20000, 2), *block(3, 0x30000, 0), *block(4, 0x40000, 0)]
    lost = {"begin_ns": 1_000_000_010, "end_ns": 1_000_000_020, "cpu": 0, "program": "", "count": 1}
    tables = {"losses": [{**lost, "kind": int(Loss.RING_FULL)}]}
    trace = slabtrace.open(write_trace(tmp_path / "t.slab", events, tables))
    leaks = trace.leaks(by="cache").set_index("cache")
    assert leaks.loc["(pages order 2)", "maybe_freed"] == 4
    assert leaks.loc["(pages order 0)", "maybe_freed"] == 1


def test_a_second_free_of_a_page_is_no_mismatch(tmp_path: Path) -> None:
    """Pages of CMA and of the boot have no allocation that a tracepoint reports."""
    events = [*block(1, 0x10000, 0), *freed(2, 0x10000), *freed(3, 0x10000)]
    assert not len(opened(tmp_path, events).mismatches())
    again = [alloc(1, 0x40), free(2, 0x40), free(3, 0x40)]
    assert len(opened(tmp_path / "slab", again).mismatches()) == 1


def test_a_redacted_copy_keeps_the_order(tmp_path: Path) -> None:
    from slabtrace.trace.redaction.redact import redact

    events = [*block(1, 0xFFFF8880_00010000, 3), alloc(2, 0xFFFF8880_00090040, cache=0xFFFF8881_00000C40)]
    whole = write_trace(tmp_path / "t.slab", events)
    copy = tmp_path / "copy.slab"
    copy.mkdir()
    redact(whole, copy)
    caches = slabtrace.open(copy).caches()
    assert caches.set_index("cache").loc["(pages order 3)", "outstanding"] == 8


def test_areas_of_many_gigabytes_do_not_widen_what_a_redacted_copy_shows(tmp_path: Path) -> None:
    """The lower bits of an address stay as far as objects are large: 22 bits, for blocks of order 10."""
    from slabtrace.trace.redaction.redact import redact

    ptr = 0xFFFF8880_7B5A0040
    fields = {"kind": Kind.PERCPU_ALLOC, "cache": 0, "bytes_req": 1 << 20, "bytes_alloc": 1 << 30}
    whole = write_trace(tmp_path / "t.slab", [alloc(1, ptr), alloc(2, 0x607F_0000_0000, **fields)])
    copy = tmp_path / "copy.slab"
    copy.mkdir()
    redact(whole, copy)
    trace = slabtrace.open(copy)
    made = [int(each) for batch in trace.events() for each in batch.column("ptr").to_pylist()]
    low = (1 << 30) - 1
    assert not any(each & low == ptr & low for each in made)
