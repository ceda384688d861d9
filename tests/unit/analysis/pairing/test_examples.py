# SPDX-License-Identifier: Apache-2.0
"""The worked examples in the docstrings of the pairing, run as they are written."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.analysis.pairing.order import by_address
from slabtrace.trace.format.schema import Flag, Kind
from tests.unit.analysis.pairing.test_pairing import vectorised
from tests.unit.reference import Outcome
from tests.unit.reference import pair as reference
from tests.unit.synthetic import alloc, free, page_end

MS = 1_000_000
TWIN = {"flags": Flag.RECOVERED}


def test_pairer() -> None:
    events = [
        free(1, 0x30),
        alloc(2, 0x10),
        alloc(3, 0x20),
        free(4, 0x10),
        alloc(5, 0x20),
        free(6, 0x10),
        alloc(7, 0x40),
    ]
    expected = Outcome(freed={(1, 3)}, inferred={(2, 4)}, old_frees={0}, second_frees={5}, live={4, 6})
    outcome = vectorised(events)
    expected.peak = outcome.peak
    assert outcome == expected == reference(events)


def test_order() -> None:
    ptr = np.array([0x20, 0x10, 0x20, 0x10, 0x10], np.uint64)
    is_free = np.array([False, False, True, True, False])
    found = by_address(ptr, is_free, np.empty(0, np.intp))
    assert found.index.tolist() == [1, 3, 4, 0, 2]
    assert found.free.tolist() == [False, True, False, False, True]
    assert found.starts.tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("preemptible", [False, True])
def test_duplicates(preemptible: bool) -> None:
    events = [
        alloc(1 * MS, 0x10),
        alloc(2 * MS, 0x10, **TWIN),
        free(5 * MS, 0x10, kind=Kind.KFREE_RCU),
        free(9 * MS, 0x10),
        alloc(20 * MS, 0x10),
        alloc(60 * MS, 0x10, **TWIN),
    ]
    out = vectorised(events, preemptible=preemptible)
    assert (out.freed, out.completions, out.second_frees, out.live) == ({(1, 2)}, {3}, set(), {5})
    assert out.duplicates == ({(0, 1), (4, 5)} if preemptible else {(0, 1)})
    assert out.inferred == (set() if preemptible else {(4, 5)})


@pytest.mark.parametrize("free_traced_after", [False, True])
def test_traced_after(free_traced_after: bool) -> None:
    a, b = alloc(1_000, 0x10), alloc(50_000, 0x10, cpu=1)
    freed = free(52_000, 0x10, kind=Kind.CACHE_FREE)
    out = vectorised([a, b, freed], free_traced_after=free_traced_after)
    if free_traced_after:
        assert (out.freed, out.inferred, out.live) == ({(0, 2)}, set(), {1})
    else:
        assert (out.freed, out.inferred, out.live) == ({(1, 2)}, {(0, 1)}, set())


def test_page_ends() -> None:
    events = [
        alloc(1, 0x1000),
        alloc(2, 0x1040),
        alloc(3, 0x2000),
        free(4, 0x1040),
        page_end(5, 0x1000, 4096),
        alloc(6, 0x1000),
    ]
    out = vectorised(events)
    assert (out.freed, out.page_ended, out.inferred, out.live) == ({(1, 3)}, {(0, 4)}, set(), {2, 5})
