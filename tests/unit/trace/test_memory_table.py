# SPDX-License-Identifier: Apache-2.0
"""memory.arrow from the writer to the account: whole, in a window, in a redacted copy, of an old trace."""

from __future__ import annotations

from pathlib import Path

import pytest

import slabtrace
from slabtrace.api import Trace
from slabtrace.trace.manifest import COMPLETE, Manifest
from slabtrace.trace.redaction.redact import redact
from slabtrace.trace.writing.writer import TraceWriter

S, MIB = 10**9, 1 << 20
ROWS = [  # seconds, counter, MiB
    (1, "meminfo.MemTotal", 1000), (1, "meminfo.MemFree", 500), (1, "meminfo.Percpu", 10),
    (1, "vmalloc.nft_set+0x1a [nf_tables]", 1),
    (2, "meminfo.MemFree", 450), (2, "meminfo.Percpu", 60),
    (3, "meminfo.MemFree", 400), (3, "meminfo.Percpu", 110),
]  # fmt: skip


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "t.slab"
    manifest = Manifest(started_ns=S, ended_ns=4 * S)
    manifest.coverage.memory_unread = ["/proc/buddyinfo: Permission denied"]
    writer = TraceWriter(path, manifest)
    columns = {
        "ts_ns": [row[0] * S for row in ROWS],
        "counter": [row[1] for row in ROWS],
        "value": [row[2] * MIB for row in ROWS],
    }
    writer.rows("memory", columns)
    writer.close(COMPLETE)
    return path


def percpu(trace: Trace) -> tuple[float, float]:
    rows = trace.account()
    (row,) = rows[(rows["part"] == "percpu") & (rows["item"] == "")].to_dict("records")
    return row["before"] / MIB, row["after"] / MIB


def test_what_was_written_is_accounted_for(trace: Path) -> None:
    opened = slabtrace.open(trace)
    assert opened.damage == []
    assert percpu(opened) == (10, 110)
    first, *_, last = opened.account_sentences()
    assert first.startswith("Memory in use grew by 100.0 MiB in 2 s: percpu +100.0 MiB")
    assert last.startswith("1 file could not be read: /proc/buddyinfo: Permission denied.")
    assert opened.memory()["ts_ns"].unique().tolist() == [0, S, 2 * S]


def test_a_window_begins_with_what_was_last_known(trace: Path) -> None:
    window = slabtrace.open(trace).window(int(1.5 * S), int(2.5 * S))
    assert percpu(window) == (60, 110)


def test_a_redacted_copy_keeps_the_counters(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    redact(trace, tmp_path / "copy")
    copy = slabtrace.open(tmp_path / "copy")
    assert percpu(copy) == (10, 110)
    assert copy.counters()["counter"].tolist() == sorted({row[1] for row in ROWS})


def test_a_trace_of_an_older_format_has_none_and_is_whole(trace: Path) -> None:
    (trace / "memory.arrow").unlink()
    text = (trace / "manifest.json").read_text()
    assert slabtrace.open(trace).damage == []
    opened = slabtrace.open(trace)
    assert opened.account().empty
    assert opened.damage == ["memory.arrow is missing."]
    opened = slabtrace.open(trace)
    opened.manifest.version[1] = 2
    assert opened.account().empty
    assert opened.damage == []
    assert text == (trace / "manifest.json").read_text()
