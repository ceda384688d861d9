# SPDX-License-Identifier: Apache-2.0
"""Stacks of one hash: each of the three stack maps (bpf/stack.h) holds whole ones.

The maps are made so small that the first and the second refuse many.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from slabtrace.capture import options
from slabtrace.capture.options import CaptureOptions
from slabtrace.capture.plan import Plan, new_manifest
from slabtrace.capture.programs.layout import header_numbers
from slabtrace.capture.recorder import Recorder
from slabtrace.capture.session import Session
from slabtrace.capture.storing import storing
from slabtrace.capture.stream.stacks import StackReader
from slabtrace.cli.watch import Watch
from slabtrace.trace.writing.writer import TraceWriter
from tests.live.conftest import wait_for

BUCKETS = 64
SECOND, THIRD = (header_numbers("stack.h")[name] for name in ("SECOND_MAP", "THIRD_MAP"))


class Spy(StackReader):
    """Counts the stacks by (map, whether the call site is in them)."""

    counts: Counter[tuple[int, bool]]

    def new_stacks(self, sites: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
        new = []
        for stack_id, call_site in sites:
            if stack_id >= 0 and stack_id not in self._known:
                self.counts[stack_id & (SECOND | THIRD), call_site in self._read(stack_id)] += 1
            new += super().new_stacks([(stack_id, call_site)])
        return new


def record(path: Path) -> None:
    """Record a process that begins, imports and ends: hundreds of different stacks."""
    session = Session(CaptureOptions(stacks="all", buffer_mib=8))
    try:
        writer = TraceWriter(path, new_manifest(session))
        recorder = Recorder(session, writer, lambda progress: None, Watch(session, writer.manifest, print))
        recording = threading.Thread(target=recorder.record, args=[Plan()])
        recording.start()
        wait_for(lambda: writer.manifest.recorder.pid)  # set once everything is attached
        subprocess.run([sys.executable, "-c", "import json, asyncio"], check=True)
        recorder.stop()
        recording.join()
    finally:
        session.close()


def test_a_stack_that_one_map_refuses_is_whole_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "STACK_BUCKETS", BUCKETS)
    monkeypatch.setattr(storing, "StackReader", Spy)
    monkeypatch.setattr(Spy, "counts", Counter(), raising=False)
    record(tmp_path / "stacks.slab")
    for bit, room in ((0, BUCKETS), (SECOND, BUCKETS // 2), (THIRD, BUCKETS // 4)):
        assert room // 2 < Spy.counts[bit, True] <= room, Spy.counts
        assert Spy.counts[bit, False] == 0, Spy.counts
