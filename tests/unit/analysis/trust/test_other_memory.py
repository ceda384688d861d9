# SPDX-License-Identifier: Apache-2.0
"""What the recursion guard skipped of per-CPU memory, pages and vmalloc: bounded as that of slabs is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slabtrace.analysis.counting.counts import SiteCounts
from slabtrace.analysis.counting.recovered import Recovered, recovered
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.trust.losses import Losses, Of
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import PAGES_OF_ORDER, Flag, Kind, Loss
from slabtrace.trace.manifest import Manifest
from tests.unit.synthetic import alloc, intern, sites_of

S = 1_000_000_000


def losses(program: str, skipped: int, by_twin: int, found: Recovered) -> Losses:
    common = {"begin_ns": S, "end_ns": 2 * S, "cpu": -1, "kind": int(Loss.RECURSION)}
    rows = [
        {**common, "program": program, "count": skipped},
        {**common, "program": f"{program}_twin", "count": by_twin},
    ]
    return Losses(pa.Table.from_pylist(rows, schema.LOSSES), Manifest(), found)


@pytest.mark.parametrize("program", ["percpu_free_percpu", "pages_free", "vfree_area", "kfree"])
def test_a_skipped_free_is_no_allocation(program: str) -> None:
    found = losses(program, 3, 3, Recovered())
    assert found.since(np.array([0])).tolist() == [3]
    assert found.since(np.array([0]), Of.ALLOCATIONS).tolist() == [0]


@pytest.mark.parametrize("program", ["percpu_alloc_percpu", "pages_alloc", "vmalloc_area", "kmalloc"])
def test_a_skipped_allocation_is_one(program: str) -> None:
    found = losses(program, 3, 3, Recovered())
    assert found.since(np.array([0]), Of.ALLOCATIONS).tolist() == [3]


def test_a_block_of_pages_that_the_twin_recorded_is_one_event() -> None:
    """Eight pages of one block: of two skipped events one was recovered, so one may be lost; not none."""
    page = {"kind": Kind.PAGES_ALLOC, "cache": PAGES_OF_ORDER + 3, "bytes_req": 4096, "bytes_alloc": 4096}
    events = [alloc(1, i << 12, flags=Flag.RECOVERED, **page) for i in range(8)]
    _, columns = intern(events)
    sites: Sites = sites_of(columns)
    counts = SiteCounts(sites)
    counts.seen[:] = 8
    found = recovered(sites, counts, Manifest())
    assert found.stored["pages_alloc"] == 1
    assert losses("pages_alloc", 2, 5, found).skipped == 1
