# SPDX-License-Identifier: Apache-2.0
"""Marks: set through the socket, by a signal, refused, and found again by their text."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from slabtrace.analysis.names.moments import moment
from slabtrace.capture.marks import Mark, MarkListener, recorders, set_mark
from slabtrace.errors import UsageError

MARKS = pd.DataFrame({"ts_ns": [100, 200, 300, 400], "text": ["before", "login", "before", "after"]})


def served(listener: MarkListener, until: int) -> list[Mark]:
    """Ask the listener, as the recorder's loop does, until so many marks came."""
    marks: list[Mark] = []
    deadline = time.monotonic() + 10
    while len(marks) < until and time.monotonic() < deadline:
        marks += listener.take()
    return marks


def test_a_mark_reaches_the_recorder_with_the_senders_time() -> None:
    listener = MarkListener()
    assert os.getpid() in recorders()
    begun = time.monotonic_ns()
    sender = threading.Thread(target=set_mark, args=("after \x1b login", [os.getpid()]))
    sender.start()
    (mark,) = served(listener, 1)
    sender.join()
    listener.close()
    assert mark.text == "after \x1b login" and begun <= mark.ts_ns <= time.monotonic_ns()
    assert os.getpid() not in recorders()


def test_signals_are_marks_with_numbers() -> None:
    listener = MarkListener()
    listener.signal()
    listener.signal()
    assert [mark.text for mark in listener.take()] == ["SIGUSR1 1", "SIGUSR1 2"]
    assert listener.take() == []
    listener.close()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"ts_ns": "x", "text": "t"}', b"\xff\xfe"])
def test_what_is_no_mark_is_refused(content: bytes) -> None:
    listener = MarkListener()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.bind("")
        client.sendto(content, f"\0slabtrace-marks-{os.getpid()}")
        assert listener.take() == []
        assert client.recv(100) == b'{"marked": false}'
    listener.close()


def test_a_time_that_cannot_be_is_not_believed() -> None:
    listener = MarkListener()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.bind("")
        for ts_ns in (5, time.monotonic_ns() + 10**12):
            client.sendto(b'{"ts_ns": %d, "text": "t"}' % ts_ns, f"\0slabtrace-marks-{os.getpid()}")
        now = time.monotonic_ns()
        assert all(now - 10**9 < mark.ts_ns < now + 10**9 for mark in served(listener, 2))
    listener.close()


def test_without_a_recorder_it_is_said() -> None:
    marked, (refused,) = set_mark("x", [2**22 + 1])
    assert marked == [] and "does not answer" in refused.message


def test_a_stranger_at_a_recorders_address_is_not_believed() -> None:
    """And keeps no mark from the others."""
    listener = MarkListener()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.bind("\0slabtrace-marks-2")  # as kthreadd

        def answer() -> None:
            _, asker = stranger.recvfrom(10_000)
            stranger.sendto(b'{"marked": true}', asker)

        answering = threading.Thread(target=answer)
        answering.start()
        outcomes = list[tuple[list[int], list[UsageError]]]()
        asking = threading.Thread(target=lambda: outcomes.append(set_mark("x", [2, os.getpid()])))
        asking.start()
        (mark,) = served(listener, 1)
        asking.join()
        answering.join()
    listener.close()
    ((marked, (refused,)),) = outcomes
    assert mark.text == "x" and marked == [os.getpid()]
    assert refused.message == "the process that answers for 2 is not a recorder run by root or by you"


def test_who_only_listens_delays_no_mark() -> None:
    """All are asked before any answer is waited for."""
    listener = MarkListener()
    with contextlib.ExitStack() as silent:
        strangers = [2**22 + number for number in range(2, 19)]
        for pid in strangers:
            stranger = silent.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            stranger.bind(f"\0slabtrace-marks-{pid}")
        outcomes = list[tuple[list[int], list[UsageError]]]()
        asking = threading.Thread(target=lambda: outcomes.append(set_mark("x", [*strangers, os.getpid()])))
        before = time.monotonic_ns()
        asking.start()
        (mark,) = served(listener, 1)
        asking.join()
    listener.close()
    ((marked, refused),) = outcomes
    assert marked == [os.getpid()] and before <= mark.ts_ns
    assert len(refused) == 17 and all("does not answer" in error.message for error in refused)


def test_recorders_are_read_from_the_kernels_list(tmp_path: Path) -> None:
    listing = tmp_path / "unix"
    listing.write_text("Num RefCount\n0: 2 @slabtrace-marks-17\n0: 2 @other\n0: 2 /run/x@slabtrace-marks-x\n")
    assert recorders(listing) == [17]


@pytest.mark.parametrize(
    ("named", "after", "found"), [("before", -1, 100), ("before", 100, 300), ("after", 0, 400), (77, -1, 77)]
)
def test_moments(named: str | int, after: int, found: int) -> None:
    assert moment(named, MARKS, after) == found


@pytest.mark.parametrize(
    ("named", "after", "said"),
    [("logn", -1, "'login'"), ("login", 250, "comes after"), ("zzz", -1, "marks are")],
)
def test_moments_that_are_none(named: str, after: int, said: str) -> None:
    with pytest.raises(UsageError) as error:
        moment(named, MARKS, after)
    assert said in str(error.value)


def test_who_has_no_address_gets_no_answer_and_does_no_harm() -> None:
    """Anybody may send a datagram; what is no mark, and no text, ends no recording."""
    listener = MarkListener()
    contents = [b"x", b"[" * 7000, b'{"ts_ns": Infinity, "text": "a"}', b'{"ts_ns": 0, "text": "caf\\udce9"}']
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        for content in contents:
            stranger.sendto(content, f"\0slabtrace-marks-{os.getpid()}")
        (mark,) = served(listener, 1)
    listener.close()
    assert mark.text == r"caf\udce9" and mark.text.encode()
