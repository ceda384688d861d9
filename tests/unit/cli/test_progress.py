# SPDX-License-Identifier: Apache-2.0
"""Progress is shown on a terminal, for long readings only, and is gone when they end."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

import slabtrace
from slabtrace.api import Trace
from slabtrace.cli import progress
from tests.unit.synthetic import alloc, write_trace


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return slabtrace.open(
        write_trace(tmp_path / "t.slab", [alloc(i, 64 * i) for i in range(50)], batch_events=10)
    )


def test_a_terminal_sees_each_pass_come_and_go(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WORTH_SHOWING", 1)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    bar = progress.watched(trace).progress
    seen = []

    def spy(read: int) -> None:
        bar(read)
        seen.append((read, bar._shown is not None))

    trace.progress = spy
    trace.stat()
    assert seen == [(10, True), (20, True), (30, True), (40, True), (50, False), (50, False)]
    assert "reading events" in sys.stderr.getvalue()


def test_nobody_else_sees_anything(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.watched(trace).progress is None, "no terminal"
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.watched(trace).progress is None, "too short to be worth it"
    monkeypatch.setattr(progress, "WORTH_SHOWING", 1)
    assert progress.watched(trace, quiet=True).progress is None
    with pytest.raises(ValueError), progress.reading(trace):
        assert trace.progress is not None
        trace.progress(5)
        raise ValueError
    assert trace.progress is None
