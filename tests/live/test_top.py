# SPDX-License-Identifier: Apache-2.0
"""`slabtrace top` on the running kernel: known numbers on its screen and in its text, and nothing left."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from tests.live.conftest import PATIENCE_S, wait_for
from tests.live.messages import new_queue, receive, send
from tests.needs import need_program

TOP = [sys.executable, "-m", "slabtrace", "top"]
OWN = ("--pid", str(os.getpid()))  # this process sends the messages
MESSAGES, BYTES = 211, 64  # below the 16 KiB that a queue holds by default
IPC_PRIVATE, IPC_RMID, IPC_NOWAIT = 0, 0, 0o4000


@pytest.fixture
def queue() -> Iterator[Callable[[], None]]:
    """Sends MESSAGES to a queue of our own; the queue is removed after the test."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.msgget(IPC_PRIVATE, 0o600)
    message = (ctypes.c_long * (1 + BYTES // 8))(1)

    def fill() -> None:
        for _ in range(MESSAGES):
            assert libc.msgsnd(number, message, BYTES, IPC_NOWAIT) == 0, ctypes.get_errno()

    yield fill
    libc.msgctl(number, IPC_RMID, None)


def test_batch_counts_what_is_kept(queue: Callable[[], None]) -> None:
    argv = [*TOP, "--batch", "60", "--interval", "250ms", "--sort", "outstanding", "-l", "0", *OWN]
    top = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert top.stdout is not None
    assert "allocs" in top.stdout.readline()  # the first moment: everything is attached
    queue()
    found = []
    for line in top.stdout:
        if found := re.findall(rf"^ *({MESSAGES}) .* load_msg\+0x\w+$", line):
            break
    top.terminate()
    _, stderr = top.communicate(timeout=PATIENCE_S)
    assert found == [f"{MESSAGES}"], stderr
    assert top.returncode == 0, stderr


RING, RING_BYTES = 20, 500  # messages, in a cache for 1 KiB; those that leak are in one for 128 bytes
EVERY_S, JUDGED_S = 0.2, 20


@contextmanager
def leak_beside_ring() -> Iterator[None]:
    """Every 0.2 s one message more, and the oldest of RING others is replaced."""
    over = threading.Event()
    with new_queue() as leaky, new_queue() as ring:

        def work() -> None:
            send(ring, RING, RING_BYTES)
            while not over.wait(EVERY_S / 2):
                send(leaky, 1)
                over.wait(EVERY_S / 2)  # what one system call allocates with another at once is one finding
                receive(ring, 1, RING_BYTES)
                send(ring, 1, RING_BYTES)

        thread = threading.Thread(target=work)
        thread.start()
        yield
        over.set()
        thread.join()


@contextmanager
def updates(*options: str) -> Iterator[Iterator[list[str]]]:
    """The lines of each update of `slabtrace top`, which ends with the block.

    $$ in `options` is its own pid.
    """
    argv = shlex.join([*TOP, "--batch", "1000", "-l", "0"])
    top = subprocess.Popen(
        ["sh", "-c", f"exec {argv} {' '.join(options)}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert top.stdout is not None
    try:
        yield _updates(top.stdout)
    finally:
        top.terminate()
        _, stderr = top.communicate(timeout=PATIENCE_S)
    assert top.returncode == 0, stderr


def _updates(out: TextIO) -> Iterator[list[str]]:
    lines: list[str] = []
    for line in out:
        if line == "\n":
            yield lines
            lines = []
        else:
            lines.append(line)


def judged_s(lines: list[str]) -> float:
    """The time that the judgement of an update is about; 0 if there is none."""
    found = re.search(r" after ([\d.]+) s;", lines[1])
    return float(found[1]) if found else 0.0


def test_a_slow_leak_is_named_and_a_ring_is_not() -> None:
    """Leaked messages: "suspect", or "growing" where frees cannot be traced, and the line above says so."""
    with updates(*OWN) as every:
        next(every)  # everything is attached
        with leak_beside_ring():
            lines = next(lines for lines in every if judged_s(lines) > JUDGED_S)
    named = [line for line in lines if re.search(r"(suspect|growing) .*-128 +load_msg", line)]
    assert named, "".join(lines)
    assert f"(pid {os.getpid()})" in named[0]
    assert lines.index(named[0]) == 3, "it is the first row, below two lines and the titles"
    ring = [line for line in lines if re.search(r"-1k +load_msg", line)]
    assert len(ring) == 1 and not re.search("suspect|growing", ring[0])
    assert re.search(r"1 suspect |confirms what grows|filter", lines[1]), lines[1]
    assert "double free" not in lines[0] and "missed" not in lines[0]


def test_slabtraces_own_objects_are_marked() -> None:
    """Only what it allocates itself is traced, so nothing is anybody else's."""
    with updates("--interval", "500ms", "--pid", "$$") as every:
        marked = next(found for lines in every if (found := [e for e in lines if "slabtrace itself" in e]))
    assert all(" grow" not in line and "suspect" not in line for line in marked)


def test_the_screen_shows_filters_and_drills_down(queue: Callable[[], None]) -> None:
    tmux = [need_program("tmux"), "-L", f"slabtrace-{uuid.uuid4()}"]

    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}

    def do(*arguments: str) -> str:
        return subprocess.run(
            [*tmux, *arguments], capture_output=True, text=True, check=False, env=environment
        ).stdout

    def see(pattern: str, key: str = "") -> None:
        """Wait until the screen shows it; `key` is pressed until it does."""
        shown = ""

        def found() -> object:
            nonlocal shown
            if key:
                do("send-keys", key)
            shown = do("capture-pane", "-p")
            return re.search(pattern, shown)

        try:
            wait_for(found)
        except AssertionError:
            pytest.fail(f"no {pattern!r} on the screen:\n{shown}")

    do(
        "new-session",
        "-d",
        "-x",
        "140",
        "-y",
        "40",
        f"{' '.join([*TOP, *OWN])}; echo ended with $?; sleep 60",
    )
    try:
        see("outstanding .*call site")
        queue()
        do("send-keys", "/")
        see("part of a cache")  # only now it takes what is typed
        do("send-keys", "load_msg", "Enter")
        see(rf"{MESSAGES} .*msg.* load_msg\+0x")
        see("do_msgsnd", key="Enter")  # one Enter ends the filter, which shows its rows before
        do("send-keys", "p")
        see("PAUSED")
        do("send-keys", "q")
        see("ended with 0")
    finally:
        do("kill-server")


def test_it_ends_with_its_terminal() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 140, 0, 0))
    top = subprocess.Popen(
        TOP, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while b"outstanding" not in seen:
        seen += os.read(ours, 65536)
    os.close(ours)  # SIGHUP
    assert top.wait(timeout=PATIENCE_S) in (0, 129)


def test_it_needs_a_terminal_or_batch() -> None:
    done = subprocess.run(TOP, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "--batch" in done.stderr
