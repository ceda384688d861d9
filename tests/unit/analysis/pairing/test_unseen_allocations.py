# SPDX-License-Identifier: Apache-2.0
"""Objects that are in use by their slab, though free by the events; in memory that events do not fill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import scan
from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.analysis.pairing.unseen_allocations import BEFORE_NS, UnseenAllocations
from slabtrace.trace.format.schema import SLABS
from tests.unit.synthetic import START, Event, alloc, free, intern, sites_of

MS = 1_000_000
FIRST, SECOND = 0x10000, 0x20000  # two slabs of eight objects, all of them in use


def slabs(first_ns: int, second_ns: int) -> SlabStates:
    rows = [
        {"ts_ns": ts_ns, "slab": slab, "cache": slab >> 16, "stride": 64, "objects": 8, "free": b"\0"}
        for slab, ts_ns in ((FIRST, first_ns), (SECOND, second_ns))
    ]
    return SlabStates(pa.Table.from_pylist(rows, SLABS))


def found(states: SlabStates, events: Sequence[Event], times: int = 1) -> tuple[dict[int, int], int]:
    """What was missed by cache, and the bytes that the accumulator holds after the events."""
    batch, sites = intern(events)
    pairer, unseen = Pairer(sites_of(sites), chunk_events=1), UnseenAllocations(states)
    again = [batch._replace(ts_ns=batch.ts_ns + i) for i in range(times)]
    scan(again, pairer, [unseen])
    held = sum(each.nbytes for each in vars(unseen).values() if isinstance(each, np.ndarray))
    lists = [each for each in vars(unseen).values() if isinstance(each, list)]
    assert not lists, "nothing that grows with the events"
    return unseen.by_cache(pairer), held


def test_each_slab_counts_from_when_it_was_read() -> None:
    freed = [alloc(1, FIRST), free(2, FIRST), alloc(3, SECOND), free(500 * MS, SECOND)]
    assert found(slabs(START + 300 * MS, START + 800 * MS), freed)[0] == {1: 1, 2: 1}
    late = [*freed, free(790 * MS, SECOND + 64), free(300 * MS + BEFORE_NS, FIRST + 64)]
    assert found(slabs(START + 300 * MS, START + 800 * MS), late[:5])[0] == {1: 1, 2: 1}
    assert found(slabs(START + 300 * MS, START + 510 * MS), freed)[0] == {1: 1}, (
        "free within 10 ms of reading"
    )


@pytest.mark.parametrize("ts_ns", [0, -(1 << 63), (1 << 63) - 1])
def test_a_slab_of_an_absurd_time_changes_neither_memory_nor_other_slabs(ts_ns: int) -> None:
    freed = [alloc(3, SECOND), free(4, SECOND), *(free(5 + i, FIRST + 64 * (i % 8)) for i in range(1000))]
    missed, held = found(slabs(ts_ns, START + 800 * MS), freed)
    assert missed[2] == 1
    assert found(slabs(ts_ns, START + 800 * MS), freed, times=20)[1] == held <= 16 * 32
