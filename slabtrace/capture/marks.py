# SPDX-License-Identifier: Apache-2.0
"""Marks that are set while a recording runs, by `slabtrace mark TEXT` or by SIGUSR1.

The recorder listens on a Unix datagram socket in the abstract namespace, with its pid in the name.  So
nothing stays in a file system, whatever ends the recorder, and /proc/net/unix lists all recorders.  The
kernel adds the sender to each datagram (SCM_CREDENTIALS): root and the user behind sudo may mark.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from slabtrace.errors import UsageError
from slabtrace.invoker import invoking_user

LONGEST_TEXT = 1000  # characters
ANSWER_S = 2.0
MOST_AT_ONCE = 16  # datagrams read per poll: anybody may send them, and the rings have to be drained
OLDEST_NS = 1_000_000_000  # a mark's own time is used if it is at most so old
_NAME = "\0slabtrace-marks-"
_ADDRESS = re.compile(rb"\0slabtrace-marks-(\d{1,10})")
_LISTED = re.compile(r"@slabtrace-marks-(\d+)$")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def _utf8(text: str) -> str:
    """The text with bytes that are not UTF-8 (from a shell with another encoding) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


class Mark(NamedTuple):
    """A row of marks.arrow."""

    ts_ns: int
    text: str


class Answer(NamedTuple):
    """An answer from a recorder's address, and its sender (pid, uid), according to the kernel."""

    content: bytes
    sender: tuple[int, int] | None


class MarkListener:
    """The recorder's end of the socket.  Root and the user behind sudo may mark."""

    def __init__(self) -> None:
        self._allowed = _trusted()
        self._signals: list[int] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with contextlib.suppress(OSError):  # another recorder in this process, or a stranger, has the name
            self._socket.bind(f"{_NAME}{os.getpid()}")
        self._numbered = 0

    def signal(self) -> None:
        """Set a mark; may be called from a signal handler."""
        self._signals.append(time.monotonic_ns())

    def take(self) -> list[Mark]:
        """The marks set since the last call, in the order of time."""
        marks = []
        while self._signals:
            self._numbered += 1
            marks.append(Mark(self._signals.pop(0), f"SIGUSR1 {self._numbered}"))
        while len(marks) < MOST_AT_ONCE and (mark := self._receive()) is not None:
            marks.append(mark)
        return sorted(marks)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _receive(self) -> Mark | None:
        """The next mark from a sender who may mark; None if there is none."""
        for _ in range(MOST_AT_ONCE):
            try:
                content, ancillary, _, sender = self._socket.recvmsg(8 * LONGEST_TEXT, 128)
            except (BlockingIOError, InterruptedError):
                return None
            mark = self._read(content) if self._may_mark(ancillary) else None
            answer = {"marked": mark is not None}
            with contextlib.suppress(OSError):  # the sender is gone
                if sender:  # a sender without an address waits for no answer
                    self._socket.sendto(json.dumps(answer).encode(), sender)
            if mark is not None:
                return mark
        return None

    def _may_mark(self, ancillary: list[tuple[int, int, bytes]]) -> bool:
        sender = _sender(ancillary)
        return sender is not None and sender[1] in self._allowed

    def _read(self, content: bytes) -> Mark | None:
        """The mark in a datagram, None if it has none.  Its time is the sender's, if that is plausible."""
        with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
            asked = json.loads(content)
            now, sent, text = time.monotonic_ns(), int(asked["ts_ns"]), _utf8(str(asked["text"]))
            return Mark(sent if now - OLDEST_NS < sent <= now else now, text[:LONGEST_TEXT])
        return None


def recorders(listing: Path = Path("/proc/net/unix")) -> list[int]:
    """Pids of the recorders that listen for marks, ascending."""
    found = (_LISTED.search(line) for line in listing.read_text(errors="replace").splitlines())
    return sorted({int(match.group(1)) for match in found if match})


def set_mark(text: str, pids: list[int]) -> tuple[list[int], list[UsageError]]:
    """Set a mark in the recordings of these recorders, with one time.

    Returns the pids that took it, and an error for each other.  Anybody may listen at a recorder's address,
    so an answer counts only if, according to the kernel, that process sent it and it is root's or this
    user's.  All recorders together have ANSWER_S, so one that does not answer delays no mark of another.
    """
    content = json.dumps({"ts_ns": time.monotonic_ns(), "text": text}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        client.bind("")  # an abstract address of the kernel's choice, to be answered at
        client.setblocking(False)
        asked = {pid for pid in pids if _sent(client, content, pid)}
        answers = dict(_answers(client, asked))
    outcome = {pid: _refusal(pid, answers.get(pid)) for pid in pids}
    return [pid for pid in pids if outcome[pid] is None], [each for each in outcome.values() if each]


def _sent(client: socket.socket, content: bytes, pid: int) -> bool:
    try:
        client.sendto(content, f"{_NAME}{pid}")
    except OSError:  # it has ended, or takes nothing from its socket
        return False
    return True


def _answers(client: socket.socket, asked: set[int]) -> Iterator[tuple[int, Answer]]:
    """The first answer from each recorder's address, until all are there or ANSWER_S is over."""
    waiting, deadline = set(asked), time.monotonic() + ANSWER_S
    while waiting and (left := deadline - time.monotonic()) > 0:
        client.settimeout(left)
        try:
            content, ancillary, _, address = client.recvmsg(1 << 16, 128)
        except OSError:  # nobody answers any more
            return
        match = _ADDRESS.fullmatch(address or b"")
        if match and (pid := int(match[1])) in waiting:
            waiting.remove(pid)
            yield pid, Answer(content, _sender(ancillary))


def _refusal(pid: int, answer: Answer | None) -> UsageError | None:
    """Why a recorder did not take the mark; None if it did."""
    if answer is None:
        return UsageError(f"the recorder {pid} does not answer", "it may have just ended")
    if answer.sender is None or answer.sender[0] != pid or answer.sender[1] not in _trusted():
        return UsageError(
            f"the process that answers for {pid} is not a recorder run by root or by you",
            f"look at it: ps {pid}",
        )
    try:
        said = json.loads(answer.content)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not said.get("marked"):
        return UsageError(f"the recorder {pid} does not accept marks from this user", "run it with sudo")
    return None


def _trusted() -> set[int]:
    return {0, os.geteuid(), invoking_user().uid}


def _sender(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int] | None:
    """Pid and uid of a datagram's sender, according to the kernel."""
    for _, kind, data in ancillary:
        if kind == socket.SCM_CREDENTIALS:
            pid, uid, _ = _CREDENTIALS.unpack(data)
            return pid, uid
    return None
