# SPDX-License-Identifier: Apache-2.0
"""With very many live objects, pairing gives the same result, and an event costs no more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slabtrace.analysis.pairing import pairer as pairing
from slabtrace.analysis.pairing.live_table import LiveTable
from slabtrace.analysis.pairing.pairer import NONE, Pairer
from slabtrace.trace.format.batch import EventBatch
from tests.unit.analysis.pairing.test_pairing import streams, vectorised
from tests.unit.reference import pair as reference
from tests.unit.synthetic import Event, alloc, free, intern, page_end, sites_of


@settings(max_examples=150)
@given(
    events=streams(),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    most=st.sampled_from([0, 1, 3, 8]),
    preemptible=st.booleans(),
)
def test_it_pairs_as_the_reference_does(
    events: list[Event], cuts: Sequence[int], most: int, preemptible: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairing, "LONGEST_CHUNK", most)
        found = vectorised(events, cuts, preemptible=preemptible)
    assert found == reference(events, preemptible=preemptible)


def test_a_chunk_is_paired_with_the_objects_it_concerns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "LONGEST_CHUNK", 100)
    many = [alloc(i, 64 * i) for i in range(10_000)]
    chunk = [free(20_000, 64 * 5000), alloc(20_001, 64 * 7000), page_end(20_002, 0x1000, 0x1000)]
    batch, sites = intern([*many, *chunk])
    pairer = Pairer(sites_of(sites), chunk_events=1)
    pairer.feed(batch.take(slice(10_000)))
    pairer.flush()
    pairer.feed(batch.take(slice(10_000, None)))
    paired = pairer.flush()
    assert paired is not None
    assert paired.begin == 1 + 1 + 64, "the freed one, the one allocated again, the 64 of the slab"
    assert len(paired.alloc) == 66
    ended = {5000, *range(64, 128)}
    assert (pairer.live.ptr // 64).tolist() == [i for i in range(10_000) if i not in ended]
    assert pairer.live.ts_ns[7000 - 64 - 1] == batch.ts_ns[10_001]


def objects(ptr: Sequence[int], ts_ns: int) -> EventBatch:
    none = np.zeros(len(ptr), np.uint32)
    times = np.full(len(ptr), ts_ns, np.int64)
    return EventBatch(times, np.array(ptr, np.uint64), none, none, none.astype(np.uint16))


def no_ranges() -> tuple[np.ndarray, np.ndarray]:
    return np.empty(0, np.uint64), np.empty(0, np.uint64)


def test_addresses_that_come_back_take_no_more_room() -> None:
    table = LiveTable(NONE)
    table.absorb(objects([16, 32, 48], 1))
    for round_ in range(2, 10):
        assert table.take(np.array([32, 40], np.uint64), *no_ranges()).ptr.tolist() == [32]
        assert (table.live, table.objects().ptr.tolist()) == (2, [16, 48])
        table.absorb(objects([32], round_))
        assert table.objects().ts_ns.tolist() == [1, round_, 1]
        assert table._rows.size == 3


def test_rows_of_objects_that_went_are_dropped() -> None:
    table = LiveTable(NONE)
    table.absorb(objects(range(0, 1600, 16), 1))
    table.take(np.arange(0, 1440, 16, dtype=np.uint64), *no_ranges())
    table.absorb(objects([8], 2))
    assert (table.live, table._rows.size) == (11, 11)


@pytest.mark.parametrize(
    ("begin", "size", "taken"),
    [(0, 4096, [0, 4095]), (4096, 4096, [4096]), (1 << 63, 1 << 63, [(1 << 64) - 1]), (8, 0, [])],
)
def test_a_range_takes_the_objects_that_begin_in_it(begin: int, size: int, taken: list[int]) -> None:
    table = LiveTable(NONE)
    table.absorb(objects([0, 4095, 4096, (1 << 64) - 1], 1))
    nothing = np.empty(0, np.uint64)
    found = table.take(nothing, np.array([begin], np.uint64), np.array([size], np.uint64))
    assert found.ptr.tolist() == taken
