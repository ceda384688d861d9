# SPDX-License-Identifier: Apache-2.0
"""Marks set while the running kernel is recorded: what was sent between two of them is listed alone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.live.conftest import SLABTRACE, Recording, slabtrace_json, wait_for
from tests.live.messages import new_queue, send

pytestmark = pytest.mark.live

BETWEEN, AFTER = 53, 31  # messages


@pytest.fixture
def queue() -> Iterator[int]:
    with new_queue() as number:
        yield number


def mark(text: str, recording: Recording) -> str:
    words = [*SLABTRACE, "mark", text, "--pid", str(recording.process.pid)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_what_was_sent_between_two_marks(start_recording: Callable[..., Recording], queue: int) -> None:
    recording = start_recording("--cache", "*msg*", "--cache", "kmalloc-cg-128")
    trace = str(recording.trace)
    wait_for(lambda: (recording.trace / "manifest.json").exists() and recording.manifest().coverage.attached)
    assert "marked 1 recording" in mark("before", recording)
    send(queue, BETWEEN)
    mark("after", recording)
    recording.process.send_signal(signal.SIGUSR1)
    send(queue, AFTER)
    assert recording.end()[0] == 0
    sent = ("--symbol", "^load_msg", "--by", "call-site", "--pid", str(os.getpid()))
    groups = [
        slabtrace_json("leaks", trace, *sent, *words)["groups"]
        for words in ((), ("--between", "before", "after"), ("--from", "before", "--to", "after"))
    ]
    assert [[group["outstanding"] for group in each] for each in groups] == [
        [BETWEEN + AFTER],
        [BETWEEN],
        [BETWEEN],
    ]
    refused = subprocess.run([*SLABTRACE, "stat", trace, "--from", "befor"], capture_output=True, text=True)
    assert refused.returncode == 2 and "'before'" in refused.stderr
