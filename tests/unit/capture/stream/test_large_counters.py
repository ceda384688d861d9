# SPDX-License-Identifier: Apache-2.0
"""Counters that have run for days: ring heads, losses and totals beyond 2^32 and 2^63."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import slabtrace
from slabtrace.capture.stream.ledger import Ledger
from slabtrace.capture.stream.rings import LANES, Rings
from slabtrace.trace.format.schema import Loss
from slabtrace.trace.manifest import Manifest, Totals
from tests.unit.capture.stream.made_up_rings import GEOMETRY, Memory, Slots
from tests.unit.synthetic import START, alloc, write_trace

LARGE = [2**32 - 5, 2**32, 2**63 - 5, 2**63, 2**64 - 2**20]


@pytest.mark.parametrize("at", LARGE)
def test_a_ring_goes_on_beyond_any_power_of_two(at: int) -> None:
    memory = Memory(at)
    rings = Rings(memory, GEOMETRY)  # type: ignore[arg-type]
    seen: list[int] = []
    for round_ in range(7):  # 7 * 11 slots: past the boundary, and more than once round the lane
        memory.commit(1, 11, 100 * round_)
        assert rings.fill() == pytest.approx(11 / 64)
        assert rings.drain(1000, Slots(lambda rows, cpu: seen.extend(rows[:, 0].tolist()))) is None
        assert int(memory.states["tail"][1, 0]) == (at + 11 * (round_ + 1)) % 2**64
        assert rings.fill() == 0
    assert seen == [100 * round_ + i for round_ in range(7) for i in range(11)]


@pytest.mark.parametrize("at", LARGE)
def test_a_ring_is_left_in_part_at_the_boundary(at: int) -> None:
    memory = Memory(at)
    rings = Rings(memory, GEOMETRY)  # type: ignore[arg-type]
    memory.commit(0, 23, 1000)
    seen: list[int] = []
    while (left := rings.drain(7, Slots(lambda rows, cpu: seen.extend(rows[:, 0].tolist())))) is not None:
        assert left == 1000 + len(seen)
    assert seen == list(range(1000, 1023))


@pytest.mark.parametrize("at", LARGE)
def test_the_ledger_counts_what_grew(at: int) -> None:
    memory = Memory(at)
    rings = Rings(memory, GEOMETRY)  # type: ignore[arg-type]
    ledger = Ledger(rings, memory)  # type: ignore[arg-type]
    ledger.start(1)
    assert ledger.sample(2, 0)["count"] == []
    with np.errstate(over="ignore"):
        memory.states["lane"]["dropped"][0, 0] += np.uint64(7)
        memory.states["lane"]["dropped"][0, 1] += np.uint64(4)
        memory.states["too_deep"][1] += np.uint64(3)
        memory.states["lane"]["stack_lost"][1, LANES - 1] += np.uint64(2)
        memory.states["lane"]["bulk_rest"][1, 5] += np.uint64(6)
        memory.states["without_ring"][0] += np.uint64(9)
    memory.misses["kfree"] += 5
    columns = ledger.sample(3, 2**33)
    rows = set(zip(columns["kind"], columns["cpu"], columns["count"], strict=True))
    wanted = {(Loss.RING_FULL, 0, 11), (Loss.NESTING, 1, 3), (Loss.STACK, 1, 2), (Loss.RECURSION, -1, 5)}
    wanted |= {(Loss.BULK_REST, 1, 6), (Loss.WITHOUT_RING, -1, 9)}
    assert rows == wanted | {(Loss.LATE, -1, 2**33)}
    totals = ledger.totals()
    assert (totals["dropped"], totals["stacks_lost"], totals["recursion_missed"]) == (29, 2, 5)


def test_losses_and_totals_of_more_than_four_billion(tmp_path: Path) -> None:
    """Written, read back, added up, and held against an object: nothing is cut to 32 bits."""
    row = {"begin_ns": START, "end_ns": START + 1, "cpu": 0, "kind": Loss.RING_FULL, "program": ""}
    rows = [row | {"count": 2**32 + 1}, row | {"count": 2**40, "cpu": 1}]
    manifest = Manifest(status="complete", totals=Totals(allocs=2**35, failed_allocs=2**34, dropped=2**41))
    events = [alloc(5, 64, bytes_req=2**32 - 1, bytes_alloc=2**32 - 1, call_site=i) for i in range(3)]
    trace = slabtrace.open(write_trace(tmp_path / "t.slab", events, {"losses": rows}, manifest=manifest))
    assert trace.losses()["count"].tolist() == [2**32 + 1, 2**40]
    found = trace.completeness()
    assert (found.dropped, found.failed_allocs) == (2**41, 2**34)
    assert trace.manifest.totals.allocs == 2**35
    assert trace.stat("cache")["bytes_alloc"].sum() == 3 * (2**32 - 1)
