# SPDX-License-Identifier: Apache-2.0
"""The program that `slabtrace demo` records: it leaves known numbers of kernel objects behind.

It is a separate program and imports nothing of slabtrace.  The numbers are primes, so that no sum or
multiple of something else can look right by chance.  A child holds what is left behind; it releases
everything when its standard input ends, that is, when the demo has ended or died.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

MESSAGES_KEPT = 23  # System V messages left in a queue
MESSAGES_PASSED = 10_007  # sent and received again
MESSAGE_BYTES = 64
PIPES_KEPT = 41  # kept open by the child
PIPES_CLOSED = 60  # of 101 made

STEP_S = 0.03  # between kept messages: spreads the work, so that the plot shows it
KEPT, PASSED = 1, 2  # message types
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
    """Make and release everything, leave the rest to a child, and end."""
    libc.prctl(PR_SET_NAME, COMM.encode(), 0, 0, 0)
    queue = _checked(libc.msgget(IPC_PRIVATE, 0o600))
    pipes = [os.pipe() for _ in range(PIPES_KEPT + PIPES_CLOSED)]
    for ends in pipes[:PIPES_CLOSED]:
        _close(ends)
    _pass_messages(queue)
    if os.fork() == 0:
        _hold_until_stdin_ends(queue)


def _pass_messages(queue: int) -> None:
    """Send and receive MESSAGES_PASSED, leaving one more in the queue at each of MESSAGES_KEPT steps."""
    kept, passed = Message(mtype=KEPT), Message(mtype=PASSED)
    for step in range(MESSAGES_KEPT):
        first, last = (MESSAGES_PASSED * i // MESSAGES_KEPT for i in (step, step + 1))
        for _ in range(first, last):
            _checked(libc.msgsnd(queue, passed, MESSAGE_BYTES, 0))
            _checked(libc.msgrcv(queue, passed, MESSAGE_BYTES, PASSED, 0))
        _checked(libc.msgsnd(queue, kept, MESSAGE_BYTES, 0))
        time.sleep(STEP_S)


def _hold_until_stdin_ends(queue: int) -> None:
    """Be the child: keep the pipes and the queue, without output, until the demo closes stdin."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.dup2(devnull, sys.stderr.fileno())
    while os.read(0, 4096):
        pass
    libc.msgctl(queue, IPC_RMID, None)
    os._exit(0)


def _close(ends: tuple[int, int]) -> None:
    for end in ends:
        os.close(end)


def _checked(result: int) -> int:
    """`result` of a C call, or OSError with its errno if it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    main()
