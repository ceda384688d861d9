# SPDX-License-Identifier: Apache-2.0
"""A System V queue to leave messages in, one kernel object each, from the test's own process."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

BYTES = 64
IPC_PRIVATE, IPC_RMID = 0, 0

libc = ctypes.CDLL(None)
libc.msgsnd.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
libc.msgrcv.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_long, ctypes.c_int]


@contextmanager
def new_queue() -> Iterator[int]:
    """A queue, given back with what is left in it."""
    number = libc.msgget(IPC_PRIVATE, 0o600)
    assert number >= 0
    yield number
    libc.msgctl(number, IPC_RMID, None)


def send(queue: int, messages: int, size: int = BYTES) -> None:
    """Leave so many more."""
    for _ in range(messages):
        assert libc.msgsnd(queue, b"\1" + bytes(7 + size), size, 0) == 0


def receive(queue: int, messages: int) -> None:
    """Take so many out."""
    for _ in range(messages):
        assert libc.msgrcv(queue, ctypes.create_string_buffer(8 + BYTES), BYTES, 0, 0) == BYTES
