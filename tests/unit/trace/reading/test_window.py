# SPDX-License-Identifier: Apache-2.0
"""A window reads only the segments that it reaches, and all of its events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.manifest import COMPLETE, Manifest
from slabtrace.trace.reading.reader import TraceReader
from slabtrace.trace.reading.window import WindowReader
from slabtrace.trace.writing import writer
from tests.unit.synthetic import START, alloc, intern

STEP = 1000  # ns between events


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """20 segments of 5 events."""
    monkeypatch.setattr(writer, "SEGMENT_EVENTS", 5)
    made = writer.TraceWriter(tmp_path / "t.slab", Manifest(started_ns=START, ended_ns=START + 100 * STEP))
    _, sites = intern([alloc(0, 64)])
    made.rows("sites", {"site": [0], **sites})
    for number in range(20):
        ts_ns = START + STEP * np.arange(5 * number, 5 * number + 5)
        zero = np.zeros(5, np.uint32)
        made.events(EventBatch(ts_ns, ts_ns.astype(np.uint64), zero, zero, zero.astype(np.uint16)))
    made.close(COMPLETE)
    return tmp_path / "t.slab"


@pytest.mark.parametrize(("begin", "first"), [(0, 0), (4, 0), (5, 1), (52, 10), (99, 19)])
def test_segments_before_a_window_are_not_read(trace: Path, begin: int, first: int) -> None:
    window = WindowReader(trace, begin * STEP, 100 * STEP)
    assert window._segments_read() == TraceReader(trace).segments[first:]
    times = np.concatenate([batch.ts_ns for batch in window.events()])
    assert times.tolist() == [START + STEP * each for each in range(begin, 100)]
