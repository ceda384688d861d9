# SPDX-License-Identifier: Apache-2.0
"""The running kernel recorded in parts: a known leak is exact in the newest, whatever was deleted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.series.parts import part_path, parts_of
from slabtrace.trace import manifest
from tests.live.conftest import Recording, wait_for
from tests.live.messages import new_queue, receive, send

pytestmark = pytest.mark.live

Start = Callable[..., Recording]

SLOW, EVERY_S = 80, 0.5  # messages that nobody receives, and the time from one to the next
LARGE = 130  # bytes of these: with their header they are in caches of 192, which few others use
FIRST, SECOND, THIRD, RECEIVED = 23, 31, 13, 7  # messages left in each part; of the first, received later


@pytest.fixture
def queue() -> Iterator[int]:
    with new_queue() as number:
        yield number


def wait_for_part(name: Path, number: int) -> None:
    """Until part `number` is being written, and what came before was carried into it."""
    part = part_path(name, number)
    wait_for(lambda: (part / ("carried" if number > 1 else "manifest.json")).exists())
    wait_for(lambda: manifest.load(part).coverage.attached)


def messages_left(part: Path) -> int:
    """Messages that this process sent and nobody received."""
    frame = slabtrace.open(part).outstanding("call_site", pid=[os.getpid()])
    rows = zip(frame["symbol"], frame["outstanding"], strict=True)
    return sum(left for symbol, left in rows if symbol.startswith(("load_msg+", "alloc_msg+")))


def test_a_known_leak_over_parts_that_are_gone(start_recording: Start, queue: int, tmp_path: Path) -> None:
    name = tmp_path / "hunt.slab"
    recording = start_recording("--rotate", "1s", "--keep", "2", trace=name)
    wait_for_part(name, 1)
    send(queue, FIRST)
    wait_for_part(name, 3)
    receive(queue, RECEIVED)
    send(queue, SECOND)
    wait_for_part(name, 5)
    send(queue, THIRD)
    status, stderr = recording.end()
    assert status == 0, stderr
    kept = parts_of(name)
    assert len(kept) == 2 and not part_path(name, 1).exists()
    assert str(kept[-1]) in stderr
    assert messages_left(kept[-1]) == FIRST - RECEIVED + SECOND + THIRD
    assert messages_left(kept[0]) - (FIRST - RECEIVED + SECOND) in (0, THIRD)
    for part in kept:
        trace = slabtrace.open(part)
        assert trace.damage == [] and trace.manifest.status == manifest.COMPLETE
        stored = sum(
            int((batch.ts_ns >= trace.span_ns[0]).sum()) for batch in trace._recorded.reader.events()
        )
        assert stored == trace.manifest.totals.events > 0
        assert trace.outstanding(pid=[os.getpid()])["comms"].map(bool).all()


def test_by_size_under_load(start_recording: Start, load: Callable[[], object], tmp_path: Path) -> None:
    """At the end no more is there than was to be kept, and it is whole."""
    name = tmp_path / "hunt.slab"
    recording = start_recording("--rotate", "1MiB", "--keep", "1", trace=name)
    load()
    wait_for_part(name, 3)
    status, stderr = recording.end()
    assert status == 0, stderr
    (last,) = parts_of(name)
    assert slabtrace.open(last).damage == []


def test_a_slow_leak_over_parts_of_five_seconds_is_suspect_in_the_last(
    start_recording: Start, queue: int, tmp_path: Path
) -> None:
    """No part alone is long enough to call it a leak."""
    name = tmp_path / "hunt.slab"
    caches = ("msg_msg-192", "kmalloc-cg-192", "kmalloc-192")
    cache = next(each for each in caches if Path("/sys/kernel/slab", each).exists())
    # of one cache: on a busy machine there is no time at the end to read the slabs of all
    recording = start_recording("--rotate", "5s", "--keep", "2", "--cache", cache, trace=name)
    wait_for_part(name, 1)
    ended, sent = threading.Event(), list[float]()

    def leak_on() -> None:
        """To the very end of the recording, however long it takes to end: else they no longer come."""
        while not ended.wait(EVERY_S):
            send(queue, 1, LARGE)
            sent.append(time.monotonic())

    thread = threading.Thread(target=leak_on)
    thread.start()
    try:
        wait_for(lambda: len(sent) >= SLOW, seconds=4 * SLOW * EVERY_S)
        status, stderr = recording.end()
    finally:
        ended.set()
        thread.join()
    assert status == 0, stderr
    trace = slabtrace.open(parts_of(name)[-1])
    assert trace.manifest.part is not None and trace.manifest.part.number >= SLOW * EVERY_S // 5
    assert trace.damage == [] and not any("carried" in limit for limit in trace.verdict().limits)
    (leak,) = (row for row in trace.findings().to_dict("records") if is_message(row))
    mine = trace.outstanding(pid=[os.getpid()])
    messages = mine[mine["symbol"].str.startswith(("load_msg+", "alloc_msg+"))]
    assert leak["class"] == "suspect", leak["why"]
    assert SLOW <= messages["outstanding"].sum() <= len(sent)
    assert leak["rate_low"] < len(sent) / (sent[-1] - sent[0]) < leak["rate_high"]
    window = trace.window(0, trace.length_ns)
    assert not [row for row in window.findings().to_dict("records") if is_message(row) and is_suspect(row)]


def is_message(row: dict[str, Any]) -> bool:
    """Whether these are large messages of this process."""
    ours = os.getpid() in row["pids"] and row["symbol"].startswith(("load_msg+", "alloc_msg+"))
    return ours and row["bytes_each"] >= LARGE


def is_suspect(row: dict[str, Any]) -> bool:
    return bool(row["class"] == "suspect")


@pytest.mark.parametrize("moment", ["manifest.json", "carried"])
def test_killed_in_the_middle_of_a_turn(
    start_recording: Start, load: Callable[[], object], queue: int, tmp_path: Path, moment: str
) -> None:
    name = tmp_path / "hunt.slab"
    recording = start_recording("--rotate", "1s", trace=name)
    wait_for_part(name, 1)
    send(queue, FIRST)
    load()
    wait_for(lambda: (part_path(name, 2) / moment).exists() or (part_path(name, 2) / "carried").exists())
    recording.end(signal.SIGKILL)
    first, *rest = parts_of(name)
    assert messages_left(first) == FIRST
    for part in rest:
        trace = slabtrace.open(part)
        for batch in trace.events(["ts_ns"]):
            assert batch.num_rows
        finished = trace.manifest.status == manifest.COMPLETE  # the machine was slow: the next had begun
        assert finished != any("not finished" in sentence for sentence in trace.damage)
        carried = (part / "carried").exists()
        assert messages_left(part) == (FIRST if carried else 0)
        assert carried != any("earlier parts" in sentence for sentence in trace.damage)
