# SPDX-License-Identifier: Apache-2.0
"""A process that keeps N objects of one kind: `python -m tests.live.keeper KIND N`.

It prints one JSON object, {"pid", "fd" or other names that tell its objects}, and keeps them until stdin is
closed.  Each function returns what it keeps and what it prints.
"""

from __future__ import annotations

import array
import ctypes
import json
import os
import select
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_SO_RCVBUFFORCE = 33
_TIMER_CREATE, _MQ_OPEN, _MQ_UNLINK, _MQ_SEND, _ADD_KEY, _IO_URING_SETUP, _IO_URING_REGISTER = (
    222, 240, 241, 242, 248, 425, 427,
)  # fmt: skip  # x86-64
_IN_CREATE, _REGISTER_FILES, _CLOCK_MONOTONIC, _PROCESS_KEYRING = 0x100, 2, 1, -2
MESSAGE, DATAGRAM = 40, 777  # bytes

Kept = tuple[Any, dict[str, Any]]


def _call(number: int, *arguments: Any) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _files(folder: str, count: int) -> list[int]:
    """Open files whose names are gone."""
    fds = []
    for i in range(count):
        path = f"{folder}/kept-{i}"
        fds.append(os.open(path, os.O_CREAT | os.O_RDWR))
        os.unlink(path)
    return fds


def in_flight(count: int) -> Kept:
    """Files that were sent through a socket, closed, and not received."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with tempfile.TemporaryDirectory() as folder:
        fds = _files(folder, count)
    for first in range(0, count, 100):
        rights = array.array("i", fds[first : first + 100])
        sender.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    for fd in fds:
        os.close(fd)
    return (sender, receiver), {"fd": receiver.fileno(), "name": folder}


def unaccepted(count: int) -> Kept:
    """Connections that nobody accepts."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2 * count)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(count)]
    return (listener, clients), {"fd": listener.fileno(), "port": listener.getsockname()[1]}


def datagrams(count: int) -> Kept:
    """Datagrams that nobody reads."""
    receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    receiver.bind(("127.0.0.1", 0))
    receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 64 << 20)
    for _ in range(count):
        sender.sendto(bytes(DATAGRAM), receiver.getsockname())
    return (receiver, sender), {"fd": receiver.fileno(), "port": receiver.getsockname()[1]}


def epoll_items(count: int) -> Kept:
    """Files that an epoll instance watches."""
    epoll, watched = select.epoll(), [os.eventfd(0) for _ in range(count)]
    for fd in watched:
        epoll.register(fd, select.EPOLLIN)
    return (epoll, watched), {"fd": epoll.fileno()}


def inotify_events(count: int) -> Kept:
    """Events that nobody reads."""
    fd = _libc.inotify_init1(0)
    with tempfile.TemporaryDirectory() as folder:
        assert _libc.inotify_add_watch(fd, folder.encode(), _IN_CREATE) >= 0
        for i in range(count):
            open(f"{folder}/unread-{i:06}", "w").close()
    return fd, {"fd": fd}


def keys(count: int) -> Kept:
    """Keys in a keyring."""
    ring = _call(_ADD_KEY, b"keyring", b"kept-ring", None, 0, ctypes.c_long(_PROCESS_KEYRING))
    for i in range(count):
        _call(_ADD_KEY, b"user", b"kept-%d-%d" % (os.getpid(), i), bytes(32), 32, ring)
    return ring, {"keyring": "kept-ring"}


def messages(count: int) -> Kept:
    """Messages in a POSIX queue."""
    name = b"kept-%d" % os.getpid()
    attributes = (ctypes.c_long * 8)(0, count, MESSAGE)
    limit = Path("/proc/sys/fs/mqueue/msg_max")
    before = limit.read_text()
    limit.write_text(str(max(count, int(before))))
    try:
        fd = _call(_MQ_OPEN, name, os.O_CREAT | os.O_RDWR, 0o600, attributes)
    finally:
        limit.write_text(before)
    _call(_MQ_UNLINK, name)
    for _ in range(count):
        _call(_MQ_SEND, fd, bytes(MESSAGE), MESSAGE, 0, None)
    return fd, {"fd": fd}


def timers(count: int) -> Kept:
    """POSIX timers."""
    for _ in range(count):
        _call(_TIMER_CREATE, _CLOCK_MONOTONIC, None, ctypes.byref(ctypes.c_int()))
    return None, {}


def ring_files(count: int) -> Kept:
    """Files that are registered in an io_uring instance, and closed."""
    ring = _call(_IO_URING_SETUP, 8, (ctypes.c_char * 120)())
    with tempfile.TemporaryDirectory() as folder:
        fds = _files(folder, count)
    _call(_IO_URING_REGISTER, ring, _REGISTER_FILES, (ctypes.c_int * count)(*fds), count)
    for fd in fds:
        os.close(fd)
    return ring, {"fd": ring, "name": folder}


def negative_dentries(count: int) -> Kept:
    """Names that were looked up and do not exist."""
    folder = tempfile.TemporaryDirectory(dir="/var/tmp")
    for i in range(count):
        os.path.exists(f"{folder.name}/missing-{i}")
    return folder, {"name": folder.name}


KINDS: dict[str, Callable[[int], Kept]] = {
    function.__name__: function
    for function in (
        in_flight, unaccepted, datagrams, epoll_items, inotify_events, keys, messages, timers, ring_files,
        negative_dentries,
    )
}  # fmt: skip


def main() -> None:
    """Keep the objects until stdin is closed."""
    kept, names = KINDS[sys.argv[1]](int(sys.argv[2]))
    sys.stdout.write(json.dumps({"pid": os.getpid(), **names}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    del kept


if __name__ == "__main__":
    main()
