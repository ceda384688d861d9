# SPDX-License-Identifier: Apache-2.0
"""The program that `slabtrace demo` records: it leaks pipes, beside a flat load of messages.

It is a separate program and imports nothing of slabtrace.  The numbers are primes, so that no sum or
multiple of something else can look right by chance.  A child holds what is left behind; it releases
everything when its standard input ends, that is, when the demo has ended or died.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

MESSAGES_WAITING = 23  # System V messages in a queue at any time: the oldest is received for each one sent
MESSAGES_PASSED = 10_007  # sent and received at once
MESSAGE_BYTES = 64
PIPES_KEPT = 31  # kept open, one after the other at an even pace: the leak
PIPES_CLOSED = 70  # of 101 made

STEP_S = 0.64  # between two kept pipes
MESSAGES_A_STEP = 7  # so a message waits for two seconds
WAITING, PASSED = 1, 2  # message types
COMM = "slabtrace-demo"  # its name in /proc, by which it is recorded
IPC_PRIVATE, IPC_RMID, PR_SET_NAME = 0, 0, 15


class Message(ctypes.Structure):
    """struct msgbuf of msgsnd(2)."""

    _fields_ = (("mtype", ctypes.c_long), ("mtext", ctypes.c_char * MESSAGE_BYTES))


libc = ctypes.CDLL(None, use_errno=True)
for _name in ("msgsnd", "msgrcv"):  # size_t and long arguments would be passed as int
    getattr(libc, _name).argtypes = [ctypes.c_int, ctypes.POINTER(Message), ctypes.c_size_t] + (
        [ctypes.c_int] if _name == "msgsnd" else [ctypes.c_long, ctypes.c_int]
    )


def main() -> None:
    """Leak pipes while messages come and go, leave all that is kept to a child, and end."""
    libc.prctl(PR_SET_NAME, COMM.encode(), 0, 0, 0)
    queue = _checked(libc.msgget(IPC_PRIVATE, 0o600))
    for _ in range(MESSAGES_WAITING):
        _send(queue, WAITING)
    started = time.monotonic()
    for step in range(PIPES_KEPT):
        _leak_a_pipe(step)
        for part in range(MESSAGES_A_STEP):
            _exchange_messages(queue, step * MESSAGES_A_STEP + part)
            due = started + STEP_S * (step + (part + 1) / MESSAGES_A_STEP)
            time.sleep(max(due - time.monotonic(), 0))  # a pace that a busy machine does not stretch
    if os.fork() == 0:
        _hold_until_stdin_ends(queue)


def _leak_a_pipe(step: int) -> None:
    """Make one pipe that stays open, and close this step's share of PIPES_CLOSED."""
    for _ in range(_share(PIPES_CLOSED, step, PIPES_KEPT)):
        for end in os.pipe():
            os.close(end)
    os.pipe()


def _exchange_messages(queue: int, part: int) -> None:
    """Receive the message that waited longest, send another, and pass this part's share at once."""
    _receive(queue, WAITING)
    _send(queue, WAITING)
    for _ in range(_share(MESSAGES_PASSED, part, PIPES_KEPT * MESSAGES_A_STEP)):
        _send(queue, PASSED)
        _receive(queue, PASSED)


def _share(total: int, part: int, parts: int) -> int:
    """How many of `total` are due in one of `parts` equal parts."""
    return total * (part + 1) // parts - total * part // parts


def _send(queue: int, kind: int) -> None:
    _checked(libc.msgsnd(queue, Message(mtype=kind), MESSAGE_BYTES, 0))


def _receive(queue: int, kind: int) -> None:
    _checked(libc.msgrcv(queue, Message(), MESSAGE_BYTES, kind, 0))


def _hold_until_stdin_ends(queue: int) -> None:
    """Be the child: keep the pipes and the queue, without output, until the demo closes stdin."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.dup2(devnull, sys.stderr.fileno())
    while os.read(0, 4096):
        pass
    libc.msgctl(queue, IPC_RMID, None)
    os._exit(0)


def _checked(result: int) -> int:
    """`result` of a C call, or OSError with its errno if it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    main()
