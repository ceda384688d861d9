# SPDX-License-Identifier: Apache-2.0
"""What must not keep a recorder from its end, and what must not be one; the kernel has no part in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from slabtrace.capture.recorder import Recorder
from slabtrace.capture.storing import storing
from slabtrace.capture.storing.periodic import Progress
from slabtrace.capture.storing.storing import Storing
from slabtrace.cli import watch
from slabtrace.commands.recording import record
from slabtrace.trace.manifest import Step
from slabtrace.trace.writing.writer import WriteError
from tests.places import FIXTURES

CLEAN = FIXTURES / "clean.slab"


class FullDisk:
    """A session without stacks, and a writer whose rows cannot be written."""

    stacks = "none"

    @property
    def options(self) -> FullDisk:
        return self

    def rows(self, table: str, columns: Any) -> None:
        raise WriteError("disk full")


def test_a_write_that_fails_ends_the_wait_for_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread stores nothing any more then, so a waiting recorder would wait for ever."""
    for name in ("raise_priority", "reduce"):
        monkeypatch.setattr(storing, name, lambda: None)
    recorder = Recorder.__new__(Recorder)
    store = recorder._store = Storing(cast(Any, FullDisk()), cast(Any, FullDisk()), None)
    monkeypatch.setattr(recorder, "_poll", store.check)  # as a poll ends
    store.rows("marks", {})
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            recorder._meanwhile_stored()
        except WriteError as error:
            raised.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(60)
    assert not waiting.is_alive() and str(raised[0]) == "disk full"


class Asked:
    """A recorder, as far as signals go."""

    def __init__(self) -> None:
        self.stopped: list[bool] = []  # whether at once

    def stop(self, at_once: bool = False) -> None:
        self.stopped.append(at_once)


@pytest.fixture
def hangups() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
@pytest.mark.parametrize(("nohup", "stopped"), [(False, [True]), (True, [])])
def test_a_closed_terminal_ends_it_unless_nohup_said_otherwise(nohup: bool, stopped: list[bool]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    asked = Asked()
    with record._signals(cast(Recorder, asked)):
        signal.raise_signal(signal.SIGHUP)
    assert asked.stopped == stopped


@pytest.mark.parametrize(("number", "at_once"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_only_ctrl_c_leaves_time_for_the_inspection(number: signal.Signals, at_once: bool) -> None:
    asked = Asked()
    with record._signals(cast(Recorder, asked)):
        signal.raise_signal(number)
    assert asked.stopped == [at_once]


@pytest.mark.parametrize(
    ("asked", "hurries"),
    [([0.0], False), ([0.0, 0.01], False), ([0.0, 1.0], True), ([0.0, 0.01, 1.0], True)],
)
def test_a_signal_that_comes_twice_at_once_is_one_request(
    asked: list[float], hurries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder.__new__(Recorder)
    recorder._stop, recorder.hurries, recorder._asked_s = False, False, 0.0
    for at_s in asked:
        monkeypatch.setattr("slabtrace.capture.recorder.time.monotonic", lambda at_s=at_s: 100 + at_s)
        recorder.stop()
    monkeypatch.undo()
    assert recorder._stop and recorder.hurries == hurries


@pytest.mark.parametrize(
    ("asked_s", "costs", "inspect_s"), [(None, False, 2.0), (None, True, 0.0), (7.0, True, 7.0)]
)
def test_it_inspects_unless_that_costs_too_much(asked_s: float | None, costs: bool, inspect_s: float) -> None:
    assert record._inspect_s(asked_s, costs) == inspect_s


def test_a_terminal_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    record._report(False, Progress(1.0, 2, 3.0, 4, 5, 0.5, 6, (Step(one_in=4),)))
    watch._to_stderr("apparent")


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0, 1, 2)])
def test_closed_standard_streams_change_no_exit_code(closed: tuple[int, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slabtrace", "check", str(CLEAN)],
        preexec_fn=lambda: [os.close(each) for each in closed] and None,
        check=False,
    )
    assert done.returncode == 0
