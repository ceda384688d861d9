# SPDX-License-Identifier: Apache-2.0
"""Rows of pins.arrow: the state of each object, and of no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.pairing.pins import Pins
from slabtrace.analysis.pairing.scan import scan
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import PINS
from slabtrace.trace.redaction.redact import redact
from tests.places import FIXTURES
from tests.unit.synthetic import START, alloc, write_trace

ASKED = 1_000

addresses = st.sampled_from([0, 64, 1 << 20, 1 << 63, (1 << 64) - 64, (1 << 64) - 1])


def pins(rows: dict[int, int]) -> Pins:
    return Pins(
        pa.Table.from_pylist([{"ts_ns": ASKED, "ptr": p, "pinned": v} for p, v in rows.items()], PINS)
    )


def allocations(ptr: list[int], ts_ns: int) -> EventBatch:
    times, none = np.full(len(ptr), ts_ns, np.int64), np.zeros(len(ptr), np.uint32)
    return EventBatch(times, np.array(ptr, np.uint64), none, none, none.astype(np.uint16))


@given(st.dictionaries(addresses, st.integers(0, 255)), st.lists(addresses))
def test_each_object_has_the_state_of_its_row(rows: dict[int, int], live: list[int]) -> None:
    states = pins(rows).pinned(allocations(live, ASKED - 1))
    assert states.dtype == np.int8
    assert states.tolist() == [value if (value := rows.get(ptr, -1)) <= 1 else -1 for ptr in live]


def test_an_object_that_came_after_the_check_has_no_state() -> None:
    assert pins({64: 1}).pinned(allocations([64], ASKED)).tolist() == [-1]


def test_traces_older_than_the_table_are_whole_and_say_nothing() -> None:
    recorded = Recorded(FIXTURES / "dentries.slab")
    assert len(recorded.pins) == 0
    assert recorded.pins.pinned(allocations([64], 0)).tolist() == [-1]
    assert recorded.reader.damage == []


def test_a_window_that_ends_before_the_check_has_no_states(tmp_path: Path) -> None:
    rows = [{"ts_ns": START + 800_000_000, "ptr": 0x1000, "pinned": 1}]
    trace = write_trace(tmp_path / "t.slab", [alloc(5, 0x1000)], {"pins": rows})
    assert len(Recorded(trace).pins) == 1
    assert len(Recorded(trace, (0, 900_000_000)).pins) == 1
    assert len(Recorded(trace, (0, 700_000_000)).pins) == 0


def test_a_redacted_trace_has_the_same_states(tmp_path: Path) -> None:
    ptr = [0xFFFF_8880_0420_4000, 0xFFFF_8880_0420_40C0, 0xFFFF_88A7_1000_0000]
    rows = [{"ts_ns": START + 90, "ptr": each, "pinned": index % 2} for index, each in enumerate(ptr[:2])]
    trace = write_trace(tmp_path / "t.slab", [alloc(5, each) for each in ptr], {"pins": rows})
    (tmp_path / "redacted").mkdir()
    redact(trace, tmp_path / "redacted")
    for each in (trace, tmp_path / "redacted"):
        recorded = Recorded(each)
        live = scan(recorded.events(), recorded.pairer(), [])
        assert recorded.pins.pinned(live).tolist() == [0, 1, -1]
    assert not set(live.ptr.tolist()) & set(ptr)
