# SPDX-License-Identifier: Apache-2.0
"""The traced change of a cache and the kernel's own: how far they match, and what explains the difference."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import slabtrace
from slabtrace.analysis.trust.account import parked
from slabtrace.render.terminal.reconcile import write_reconciliation
from slabtrace.trace.manifest import Coverage, Host, Manifest, Totals, Unattached
from tests.unit.synthetic import START, Event, alloc, free, write_trace

S = 1_000_000_000
TRACED = 1198  # objects that stay, minus an older one that is freed
BEFORE = 10_000


def traced(more: list[Event] | None = None) -> list[Event]:
    """Within a second: 10 objects are allocated and freed, an older one is freed, 1,199 stay."""
    gone = [
        event for i in range(10) for event in (alloc(2 * i, 0x100 + 8 * i), free(2 * i + 1, 0x100 + 8 * i))
    ]
    stay = [alloc(100 + i, 0x10000 + 64 * i) for i in range(TRACED + 1)]
    events = [*gone, *stay, free(5000, 0x999000), *(more or [])]
    return [Event(**{**vars(event), "ts": S // 2 + event.ts}) for event in events]


def row(folder: Path, kernel: int, events: list[Event], **of: Any) -> dict[str, Any]:
    numbers = {"num_objs": 128, "objsize": 64, "objperslab": 64, "pagesperslab": 1, "num_slabs": 2}
    samples = [{"ts_ns": START, "name": "kmalloc-64", "active_objs": BEFORE, **numbers}]
    samples += [{"ts_ns": START + S, "name": "kmalloc-64", "active_objs": BEFORE + kernel, **numbers}]
    cache = {"cache": 0xC0, "name": "kmalloc-64", "aliases": ["a", "b"], "object_size": 64, "size": 64}
    cache |= {"slab_flags": 0, "order": 0, "objects_per_slab": 64, "reclaimable": False, "first_seen_ns": 0}
    host = of.pop("host", Host(cpus=2, release="6.1.0"))
    path = write_trace(
        folder / "t",
        events,
        {"slabinfo": samples, "caches": [cache]},
        manifest=Manifest(status="complete", host=host, **of),
    )
    table = slabtrace.open(path).reconciliation()
    out = io.StringIO()
    write_reconciliation(out, table)
    (found,) = table.to_dict("records")
    return {**found, "text": " ".join(out.getvalue().split())}


def test_the_line_for_a_reader(tmp_path: Path) -> None:
    found = row(tmp_path, 1203, traced())
    assert (found["kernel"], found["traced"], found["residue"]) == (1203, TRACED, 5)
    assert "kmalloc-64 (also a, b): kernel +1,203, traced +1,198, match 99.6%" in found["text"]
    assert "free objects parked on CPUs" in found["why"]


def test_a_full_match_needs_no_reason(tmp_path: Path) -> None:
    found = row(tmp_path, TRACED, traced())
    assert (found["residue"], found["explained"], found["why"]) == (0, 1.0, "")
    assert "1 cache without a difference, 0 with one." in found["text"]


@pytest.mark.parametrize(("kernel", "explained"), [(0, 0.0), (-TRACED, 0.0), (TRACED // 2, 0.5)])
def test_the_match_is_never_negative(tmp_path: Path, kernel: int, explained: float) -> None:
    assert row(tmp_path, kernel, traced())["explained"] == pytest.approx(explained)


UNTRACED = ", which cannot be traced on this kernel"
ALLOC_BULK = f"allocations through kmem_cache_alloc_bulk{UNTRACED}"
FREE_BULK = f"frees through kmem_cache_free_bulk{UNTRACED}"
PATHS = [Unattached("kmem_cache_alloc_bulk", "refused"), Unattached("kmem_cache_free_bulk", "refused")]


@pytest.mark.parametrize(
    ("kernel", "of", "why"),
    [
        (9000, {}, "unknown: allocations on a path that is not known"),
        (-9000, {}, "unknown: frees on a path that is not known"),
        (
            9000,
            {"coverage": Coverage(unattached=PATHS)},
            ALLOC_BULK,
        ),
        (-9000, {"coverage": Coverage(unattached=PATHS)}, FREE_BULK),
        (9000, {"totals": Totals(dropped=7)}, "allocations among the 7 lost events"),
        (9000, {"options": {"comm": "x"}}, "the recording was filtered"),
    ],
)
def test_the_likely_explanation(tmp_path: Path, kernel: int, of: dict[str, Any], why: str) -> None:
    assert row(tmp_path, kernel, traced(), **of)["why"] == why


def test_missed_frees_are_the_likely_explanation_where_some_were_inferred(tmp_path: Path) -> None:
    again = [alloc(6000, 0x10000)]  # one of those that stay
    found = row(tmp_path, TRACED - 5, traced(again), coverage=Coverage(unattached=PATHS))
    assert (found["residue"], found["why"]) == (-5, FREE_BULK)


@pytest.mark.parametrize(
    ("release", "size", "per_slab", "cpus", "expected"),
    [
        ("6.1.0-13-amd64", 64, 64, 1, 64 + 2 * 120 + 64),
        ("6.12.1", 256, 16, 4, 4 * (16 + 2 * 52 + 16)),
        ("5.16.0", 1024, 8, 1, 8 + 2 * 24 + 8),
        ("6.1.0", 4096, 8, 1, 8 + 2 * 6 + 8),
        ("5.10.0", 64, 64, 1, 64 + 120 * 64),
        ("6.18.3", 64, 64, 2, 2 * (64 + 2 * 120 + 64 + 3 * 64) + 10 * 64),
    ],
)
def test_parked_objects(release: str, size: int, per_slab: int, cpus: int, expected: int) -> None:
    host = Host(release=release, cpus=cpus, page_size=4096)
    assert parked(host, np.array([size]), np.array([per_slab])).tolist() == [expected]


def test_a_trace_without_slabinfo_says_so(tmp_path: Path) -> None:
    trace = slabtrace.open(write_trace(tmp_path / "t", traced()))
    out = io.StringIO()
    write_reconciliation(out, trace.reconciliation())
    assert "nothing to compare with" in out.getvalue()


FREES_BULK = Coverage(unattached=[Unattached("kmem_cache_free_bulk", "refused")])


@pytest.mark.parametrize(
    ("options", "spoilt"),
    [
        ({"cache": ["kmalloc-*"]}, False),
        ({"cache": ["a"]}, False),  # an alias
        ({"pid": 7}, True),
        ({"cache": ["kmalloc-*"], "min_size": 8}, True),
    ],
)
def test_a_filter_by_cache_leaves_the_account_of_the_chosen_caches(
    tmp_path: Path, options: dict[str, Any], spoilt: bool
) -> None:
    """The slack is 2 * (64 + 2 * 120 + 64) = 736 objects, 2 less than traced: a bound of 738 for 1,199."""
    found = row(tmp_path, TRACED - 2, traced(), coverage=FREES_BULK, options=options)
    assert ("filtered" in found["why"], "parked" in found["why"]) == (spoilt, not spoilt)
    (group,) = slabtrace.open(tmp_path / "t").outstanding(by="cache").to_dict("records")
    assert group["confidence"] == ("unprovable" if spoilt else "bounded")
    assert pd.isna(group["maybe_freed"]) if spoilt else group["maybe_freed"] == 738


def test_a_cache_that_was_not_recorded_is_not_compared(tmp_path: Path) -> None:
    numbers = {"num_objs": 128, "objsize": 64, "objperslab": 64, "pagesperslab": 1, "num_slabs": 2}
    samples = [
        {"ts_ns": START + at, "name": name, "active_objs": 100 + at, **numbers}
        for at in (0, 5)
        for name in ("filp", "dentry")
    ]
    cache = {"cache": 0xC0, "name": "filp", "aliases": [], "object_size": 64, "size": 64, "slab_flags": 0}
    cache |= {"order": 0, "objects_per_slab": 64, "reclaimable": False, "first_seen_ns": 0}
    manifest = Manifest(status="complete", host=Host(cpus=2), options={"cache": ["fil?"]})
    events = [alloc(1, 0x10, cache=0xC0)]
    path = write_trace(tmp_path / "t", events, {"slabinfo": samples, "caches": [cache]}, manifest=manifest)
    trace = slabtrace.open(path)
    assert trace.reconciliation()[["cache", "kernel", "traced"]].to_numpy().tolist() == [["filp", 5, 1]]
    caches = trace.caches().set_index("cache")
    assert caches.loc["filp", "unexplained"] == 4
    left_out = caches.loc["dentry"]
    assert (left_out["slabinfo_end"], left_out["allocs"]) == (105, 0)
    assert pd.isna(left_out[["unexplained", "slack", "explained", "why"]]).all()
