# SPDX-License-Identifier: Apache-2.0
"""System calls that Python has no function for; each raises OSError."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Callable
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_SYS = {"timer_create": 222, "timer_delete": 226, "add_key": 248, "keyctl": 250, "bpf": 321}  # x86-64

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
IPC_PRIVATE, IPC_RMID = 0, 0
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
USER_KEYRING = -4
SIGEV_NONE = 1
_PR_SET_PDEATHSIG = 1
_KEYCTL_UNLINK, _KEYCTL_CLEAR = 9, 7


def _call(name: str, *arguments: Any) -> int:
    result = getattr(_libc, name)(*arguments)
    return _checked(result, name)


def _system_call(name: str, *arguments: Any) -> int:
    numbers = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return _checked(_libc.syscall(ctypes.c_long(_SYS[name]), *numbers), name)


def _checked(result: int, name: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def unshare(flags: int) -> None:
    """New namespaces for the calling process."""
    _call("unshare", flags)


def forked(work: Callable[[], object]) -> int:
    """The pid of a child that does `work` and ends without a word."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL)
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


# ---- System V: messages of 64 bytes, segments --------------------------------------------------------------

MESSAGE = 64


ROOM = 240  # messages that a queue surely has room for (/proc/sys/kernel/msgmnb is 16,384 bytes at least)


def new_queue() -> int:
    """The id of a message queue."""
    return _call("msgget", IPC_PRIVATE, 0o600)


def send(queue: int, kind: int = 1) -> None:
    """One message more."""
    _call("msgsnd", queue, struct.pack("=q", kind) + bytes(MESSAGE), ctypes.c_size_t(MESSAGE), 0)


def receive(queue: int, kind: int = 0) -> None:
    """One message less: the oldest, or the oldest of a kind."""
    _call(
        "msgrcv",
        queue,
        ctypes.create_string_buffer(8 + MESSAGE),
        ctypes.c_size_t(MESSAGE),
        ctypes.c_long(kind),
        0,
    )


def remove_queue(queue: int) -> None:
    """The queue with all that is in it."""
    _call("msgctl", queue, IPC_RMID, None)


def new_segment(size: int = 4096) -> int:
    """The id of a shared memory segment."""
    return _call("shmget", IPC_PRIVATE, ctypes.c_size_t(size), 0o600)


def remove_segment(segment: int) -> None:
    _call("shmctl", segment, IPC_RMID, None)


# ---- keys, timers, signals ---------------------------------------------------------------------------------


def add_key(kind: str, name: str, payload: bytes, keyring: int) -> int:
    """The number of the key; `keyring` may be USER_KEYRING."""
    given = payload or None
    return _system_call("add_key", kind.encode(), name.encode(), given, len(payload), keyring)


def unlink_key(key: int, keyring: int) -> None:
    _system_call("keyctl", _KEYCTL_UNLINK, key, keyring)


def new_timer() -> int:
    """A POSIX timer that is not armed and sends no signal."""
    event = ctypes.create_string_buffer(64)
    struct.pack_into("=qii", event, 0, 0, 0, SIGEV_NONE)
    number = ctypes.c_int()
    _system_call("timer_create", 1, event, ctypes.byref(number))
    return number.value


def delete_timer(number: int) -> None:
    _system_call("timer_delete", number)


def queue_signal(pid: int, number: int) -> None:
    """sigqueue(3)."""
    _call("sigqueue", pid, number, ctypes.c_void_p(0))


# ---- descriptors, watches, mounts --------------------------------------------------------------------------


def timerfd() -> int:
    return _call("timerfd_create", 1, 0)  # CLOCK_MONOTONIC


def epoll() -> int:
    return _call("epoll_create1", os.O_CLOEXEC)


def inotify() -> int:
    return _call("inotify_init1", os.O_CLOEXEC)


def watch(inotify: int, path: str) -> int:
    """The number of the watch."""
    return _call("inotify_add_watch", inotify, path.encode(), 0x200)  # IN_DELETE


def unwatch(inotify: int, number: int) -> None:
    _call("inotify_rm_watch", inotify, number)


def private_mounts() -> None:
    """A mount namespace of one's own; nothing mounted in it is seen outside."""
    unshare(CLONE_NEWNS)
    _call("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)


def bind(source: str, target: str) -> None:
    _call("mount", source.encode(), target.encode(), None, ctypes.c_ulong(MS_BIND), None)


def unmount(target: str) -> None:
    _call("umount2", target.encode(), MNT_DETACH)


# ---- BPF maps ----------------------------------------------------------------------------------------------


def new_map(value_size: int, most: int) -> int:
    """A hash map whose elements are allocated as they come (BPF_F_NO_PREALLOC); its file descriptor."""
    return _bpf(0, struct.pack("=IIIII", 1, 8, value_size, most, 1))


def update(map_fd: int, key: int, value_size: int) -> None:
    """One element more, or in place of the one of this key."""
    keys, values = (
        ctypes.create_string_buffer(struct.pack("=Q", key), 8),
        ctypes.create_string_buffer(value_size),
    )
    _bpf(2, struct.pack("=I4xQQQ", map_fd, ctypes.addressof(keys), ctypes.addressof(values), 0))


def remove(map_fd: int, key: int) -> None:
    keys = ctypes.create_string_buffer(struct.pack("=Q", key), 8)
    _bpf(3, struct.pack("=I4xQQQ", map_fd, ctypes.addressof(keys), 0, 0))


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, 144)
    return _system_call("bpf", command, buffer, 144)
