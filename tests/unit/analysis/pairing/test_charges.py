# SPDX-License-Identifier: Apache-2.0
"""Rows of charged.arrow: the cgroup that each object is charged to, and of no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.pairing.charges import NOT_CHARGED, Charges, no_charges
from slabtrace.analysis.pairing.scan import scan
from slabtrace.analysis.processes.processes import Cgroups
from slabtrace.trace.format.schema import CGROUPS, CHARGED, CgroupEvent
from slabtrace.trace.redaction.redact import redact
from tests.places import FIXTURES
from tests.unit.analysis.pairing.test_pins import ASKED, addresses, allocations
from tests.unit.synthetic import START, alloc, write_trace

MEMORY = 4  # the hierarchy


def cgroup(number: int, path: str, hierarchy: int = MEMORY) -> dict[str, Any]:
    return {
        "ts_ns": START, "event": CgroupEvent.SEEN, "hierarchy": hierarchy, "cgroup": number, "path": path,
        "controllers": "memory",
    }  # fmt: skip


def charges(rows: dict[int, tuple[int, int]], cgroups: list[dict[str, Any]] | None = None) -> Charges:
    table = [
        {"ts_ns": ASKED, "ptr": ptr, "hierarchy": hierarchy, "cgroup": number}
        for ptr, (hierarchy, number) in rows.items()
    ]
    named = Cgroups(pa.Table.from_pylist(cgroups or [], CGROUPS))
    return Charges(pa.Table.from_pylist(table, CHARGED), named)


keys = st.tuples(st.integers(0, 3), st.integers(1, 3)) | st.just((0, 0))


@given(st.dictionaries(addresses, keys), st.lists(addresses))
def test_each_object_has_the_cgroup_of_its_row(rows: dict[int, tuple[int, int]], live: list[int]) -> None:
    found = charges(rows)
    at = found.of(allocations(live, ASKED - 1))
    assert [found.cgroups[each] if each >= 0 else None for each in at.tolist()] == [
        rows.get(ptr) for ptr in live
    ]
    assert len(found) == len(rows)


def test_an_object_that_came_after_the_check_has_none() -> None:
    assert charges({64: (MEMORY, 7)}).of(allocations([64], ASKED)).tolist() == [-1]


def test_what_they_are_called() -> None:
    found = charges({64: (MEMORY, 7), 128: (0, 0), 192: (MEMORY, 8)}, [cgroup(7, "/a")])
    assert [found.text(at) for at in found.of(allocations([64, 128, 192], 0)).tolist()] == [
        "/a",
        NOT_CHARGED,
        "cgroup 8",
    ]


def test_traces_older_than_the_table_are_whole_and_say_nothing() -> None:
    recorded = Recorded(FIXTURES / "dentries.slab")
    assert len(recorded.charges) == len(no_charges()) == 0
    assert recorded.charges.of(allocations([64], 0)).tolist() == [-1]
    assert recorded.reader.damage == []


ROW = {"ts_ns": START + 800_000_000, "ptr": 0x1000, "hierarchy": MEMORY, "cgroup": 7}


def test_a_window_that_ends_before_the_check_has_none(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.slab", [alloc(5, 0x1000)], {"charged": [ROW]})
    assert len(Recorded(trace).charges) == 1
    assert len(Recorded(trace, (0, 900_000_000)).charges) == 1
    assert len(Recorded(trace, (0, 700_000_000)).charges) == 0


def test_a_redacted_trace_has_the_same_cgroups_under_other_names(tmp_path: Path) -> None:
    ptr, numbers = [0xFFFF_8880_0420_4000 + 192 * at for at in range(5)], [3137, 0, 3335, 1]
    rows = [
        ROW | {"ptr": each, "cgroup": number, "hierarchy": MEMORY if number else 0}
        for each, number in zip(ptr, numbers, strict=False)
    ]
    names = [cgroup(3137, "/secret"), cgroup(1, "/")]
    tables = {"charged": rows, "cgroups": names}
    trace = write_trace(tmp_path / "t.slab", [alloc(5, each) for each in ptr], tables)
    (tmp_path / "redacted").mkdir()
    redact(trace, tmp_path / "redacted")
    texts = {}
    for each in (trace, tmp_path / "redacted"):
        recorded = Recorded(each)
        live = scan(recorded.events(), recorded.pairer(), [])
        at = recorded.charges.of(live).tolist()
        texts[each.name] = [recorded.charges.text(cgroup) if cgroup >= 0 else "" for cgroup in at]
    assert texts["t.slab"] == ["/secret", NOT_CHARGED, "cgroup 3335", "/", ""]
    assert texts["redacted"] == ["/cgroup-1", NOT_CHARGED, "cgroup 3", "/", ""]
