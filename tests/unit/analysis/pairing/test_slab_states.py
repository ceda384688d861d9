# SPDX-License-Identifier: Apache-2.0
"""Rows of slabs.arrow: whether each object is free or in use, compared with a simple reading of the bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.pairing.slab_states import SlabStates
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import SLABS

ASKED = 1_000
Slabs = list[tuple[int, int, list[bool]]]  # first address, stride, free

slabs = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from([8, 24, 96, 4096]), st.lists(st.booleans(), min_size=1)),
    unique_by=lambda each: each[0],
    max_size=6,
)


def states(drawn: Slabs) -> SlabStates:
    rows = [
        {
            "ts_ns": ASKED,
            "slab": first << 20,
            "cache": first,
            "stride": stride,
            "objects": len(free),
            "free": np.packbits(free, bitorder="little").tobytes(),
        }
        for first, stride, free in drawn
    ]
    return SlabStates(pa.Table.from_pylist(rows, SLABS))


def allocations(ptr: list[int], ts_ns: int) -> EventBatch:
    times, none = np.full(len(ptr), ts_ns, np.int64), np.zeros(len(ptr), np.uint32)
    return EventBatch(times, np.array(ptr, np.uint64), none, none, none.astype(np.uint16))


@given(slabs)
def test_each_object_has_the_state_of_its_bit(drawn: Slabs) -> None:
    objects = sorted(
        ((first << 20) + stride * i, is_free)
        for first, stride, free in drawn
        for i, is_free in enumerate(free)
    )
    live, read = allocations([ptr for ptr, _ in objects], ASKED - 1), states(drawn)
    free = [is_free for _, is_free in objects]
    assert read.held(live).tolist() == [not each for each in free]
    position, when = read.free_at_last(live)
    assert position.tolist() == np.flatnonzero(free).tolist()
    assert (when == ASKED).all()
    used, cache, when_ns = read.in_use()
    assert (when_ns == ASKED).all()
    assert used.tolist() == [ptr for ptr, is_free in objects if not is_free]
    assert (cache == used >> np.uint64(20)).all()


def test_other_addresses_and_later_times_have_no_state() -> None:
    read = states([(1, 96, [False, True])])
    known, between, behind, before = (1 << 20), (1 << 20) + 8, (1 << 20) + 192, (1 << 20) - 96
    assert read.held(allocations([known], ASKED - 1)).tolist() == [True]
    assert read.held(allocations([known], ASKED)).tolist() == [False]
    live = allocations([before, between, behind], 0)
    assert not read.held(live).any()
    assert len(read.free_at_last(live)[0]) == 0


def test_contradictory_rows_are_ignored() -> None:
    sound = {"ts_ns": ASKED, "slab": 1 << 20, "cache": 1, "stride": 64, "objects": 8, "free": b"\xff"}
    short, flat = sound | {"slab": 2 << 20, "objects": 9}, sound | {"slab": 3 << 20, "stride": 0}
    read = SlabStates(pa.Table.from_pylist([short, flat, sound], SLABS))
    live = allocations([1 << 20, 2 << 20, 3 << 20], ASKED - 1)
    assert len(read) == 1
    assert read.free_at_last(live)[0].tolist() == [0]
    assert read.held(live).tolist() == [False] * 3


addresses = st.sampled_from([0, 1, 1 << 20, 1 << 63, (1 << 64) - 4096, (1 << 64) - 1])
rows = st.fixed_dictionaries(
    {
        "ts_ns": st.sampled_from([-(1 << 63), 0, ASKED, (1 << 63) - 1]),
        "slab": addresses,
        "cache": addresses,
        "stride": st.sampled_from([0, 1, 96, (1 << 32) - 1]),
        "objects": st.sampled_from([0, 1, 9, (1 << 16) - 1]),
        "free": st.sampled_from([b"", b"\0", b"\xff\0"]),
    }
)


@given(st.lists(rows, max_size=4), st.lists(addresses, min_size=1))
def test_absurd_rows_affect_no_other_objects(absurd: list[dict[str, Any]], ptr: list[int]) -> None:
    read = SlabStates(pa.Table.from_pylist(absurd, SLABS))
    live = allocations(ptr, 0)
    position, _ = read.free_at_last(live)
    assert not read.held(live)[position].any()
    for held, address in zip(read.held(live), ptr, strict=True):
        over = [row for row in absurd if row["stride"] and row["slab"] <= address]
        assert not held or any((address - row["slab"]) // row["stride"] < row["objects"] for row in over)
    used, cache, _ = read.in_use()
    assert (used[1:] >= used[:-1]).all()
    assert len(used) == len(cache) <= 16 * len(absurd)


def test_of_a_slab_that_was_read_twice_the_later_row_counts() -> None:
    """Before the inspection and after it: the object was freed meanwhile, another is new."""
    row = {"slab": 1 << 20, "cache": 7, "stride": 8, "objects": 2}
    rows = [row | {"ts_ns": ASKED, "free": b"\x02"}, row | {"ts_ns": 2 * ASKED, "free": b"\x01"}]
    read = SlabStates(pa.Table.from_pylist(rows, SLABS))
    assert len(read) == 1
    live = allocations([1 << 20, (1 << 20) + 8], ASKED + 1)
    assert read.held(live).tolist() == [False, True]
    assert read.free_at_last(live)[1].tolist() == [2 * ASKED]
    assert read.in_use()[0].tolist() == [(1 << 20) + 8]
