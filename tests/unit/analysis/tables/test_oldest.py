# SPDX-License-Identifier: Apache-2.0
"""The oldest objects of findings: chosen, described, with lines for drgn and crash."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import slabtrace
from slabtrace.analysis.names.cache_names import LARGE
from slabtrace.analysis.tables.oldest import _first_of_each, crash_line, drgn_line
from slabtrace.columns import OLDEST
from slabtrace.trace.redaction.redact import redact
from tests.places import FIXTURES

PTR = 0xFFFF888004205500
SOCKET = PTR, 1152, "signal_cache", "UNIX socket"
MINE = PTR, 64, "kmalloc-64", ""
NO_SIZE = PTR, 0, "(unknown)", ""
LARGE_ONE = PTR, 16384, LARGE, "order 2"


def test_the_example() -> None:
    trace = slabtrace.open(FIXTURES / "slow-leak.slab")
    table = trace.oldest(3)
    first = table[table["finding"] == 1]
    finding = trace.findings().iloc[0]
    assert tuple(table.columns) == OLDEST.names and len(first) == 3
    assert first["ts_ns"].is_monotonic_increasing and first["ts_ns"].iloc[0] == finding["oldest_ns"]
    assert (first["age_ns"] + first["ts_ns"] == trace.length_ns).all()
    row = first.iloc[0]
    assert (row["cache"], row["object"], row["comm"], row["pid"], row["in_use"]) == (
        "msg_msg-128", "message in a queue", "workload", 24117, True,
    )  # fmt: skip
    assert row["drgn"] == f'Object(prog, "struct msg_msg", address={int(row["ptr"]):#x})'
    assert row["crash"] == f"struct msg_msg {int(row['ptr']):#x}"


def test_only_of_the_findings_asked_for() -> None:
    trace = slabtrace.open(FIXTURES / "slow-leak.slab")
    assert set(trace.oldest(2, ranks=[1])["finding"]) == {1}
    assert trace.oldest(2, ranks=[]).empty
    assert len(trace.oldest(1000, ranks=[1])) == trace.findings().iloc[0]["outstanding"]


def test_a_redacted_trace_has_no_lines_for_debuggers(tmp_path: Path) -> None:
    redact(FIXTURES / "slow-leak.slab", tmp_path)
    table, original = (slabtrace.open(each).oldest(3) for each in (tmp_path, FIXTURES / "slow-leak.slab"))
    assert set(table["drgn"]) == set(table["crash"]) == {""}
    assert table["object"].tolist() == original["object"].tolist()
    assert not set(table["ptr"]) & set(original["ptr"])


def test_the_earliest_of_each_finding() -> None:
    ts_ns = np.array([50, 40, 30, 20, 10, 60])
    finding = np.array([2, 1, 2, 0, 1, 2])
    assert _first_of_each(ts_ns, finding, 2).tolist() == [4, 1, 2, 0]
    assert _first_of_each(ts_ns, finding, 9).tolist() == [4, 1, 2, 0, 5]
    assert _first_of_each(ts_ns, np.zeros(6, np.int64), 2).tolist() == []
    assert _first_of_each(np.empty(0, np.int64), np.empty(0, np.int64), 2).tolist() == []


def test_a_million_objects_take_no_second() -> None:
    ts_ns = np.random.default_rng(1).permutation(1_000_000)
    begun = time.process_time()
    found = _first_of_each(ts_ns, ts_ns % 3 + 1, 5)
    assert time.process_time() - begun < 1 and len(found) == 15
    assert ts_ns[found].tolist() == [*range(0, 15, 3), *range(1, 15, 3), *range(2, 15, 3)]


@pytest.mark.parametrize(
    ("described", "drgn", "crash"),
    [
        (SOCKET, f'Object(prog, "struct unix_sock", address={PTR:#x})', f"struct unix_sock {PTR:#x}"),
        (MINE, f"identify_address(prog, {PTR:#x}), prog.read({PTR:#x}, 64)", f"rd {PTR:#x} 8"),
        (LARGE_ONE, f"prog.read({PTR:#x}, 256)", f"rd {PTR:#x} 32"),
        (NO_SIZE, f"identify_address(prog, {PTR:#x}), prog.read({PTR:#x}, 8)", f"rd {PTR:#x} 1"),
    ],
)  # fmt: skip
def test_lines_for_debuggers(described: tuple[int, int, str, str], drgn: str, crash: str) -> None:
    assert (drgn_line(*described), crash_line(*described)) == (drgn, crash)
    compile(drgn, "drgn", "eval")
