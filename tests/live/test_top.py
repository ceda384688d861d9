# SPDX-License-Identifier: Apache-2.0
"""`slabtrace top` on the running kernel: known numbers on its screen and in its text, and nothing left."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.live.conftest import PATIENCE_S, wait_for
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
