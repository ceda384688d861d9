# SPDX-License-Identifier: Apache-2.0
"""How many bytes wait in pipes: no counter of the kernel has their pages, so each pipe is asked.

pidfd_getfd(2) (5.6) duplicates the file of another process for a moment, without opening the pipe once more;
FIONREAD then says how much waits.  It takes CAP_SYS_PTRACE.  Pipes whose descriptors are in flight in a
socket's queue are not seen.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from slabtrace.capture.memory.sources import RARELY, Source
from slabtrace.capture.memory.texts import Counters

_SYS_PIDFD_GETFD = 438  # the same on all architectures
SCAN_S = 2.0  # for all processes; then the number is not known

_libc = ctypes.CDLL(None, use_errno=True)


def pipes(proc: Path = Path("/proc")) -> Source:
    """What waits in all pipes of this machine, as a source of counters."""
    return Source(f"{proc}/*/fd", RARELY, lambda: _read(proc))


def _read(proc: Path) -> Counters:
    """Raises PermissionError if pipes of other processes cannot be asked, ValueError if it takes too long."""
    waiting: dict[str, int] = {}
    until = time.monotonic() + SCAN_S
    for pid, fd, pipe in _descriptors(proc):
        if time.monotonic() > until:
            raise ValueError("there are too many open files to look for pipes")
        if not waiting.get(pipe):
            with suppress(ProcessLookupError, FileNotFoundError):  # it has ended, or closed it
                waiting[pipe] = max(waiting.get(pipe, 0), _waiting(pid, fd))
    return {"pipes.bytes": sum(waiting.values()), "pipes.number": len(waiting)}


def _descriptors(proc: Path) -> Iterator[tuple[int, int, str]]:
    """(pid, descriptor, "pipe:[inode]") of every pipe that a process has open."""
    for pid in filter(str.isdecimal, os.listdir(proc)):  # noqa: PTH208 - of many, quickly
        folder = f"{proc}/{pid}/fd"
        with suppress(FileNotFoundError, ProcessLookupError):
            for fd in os.listdir(folder):  # noqa: PTH208
                with suppress(OSError):
                    name = os.readlink(f"{folder}/{fd}")  # noqa: PTH115
                    if name.startswith("pipe:["):
                        yield int(pid), int(fd), name


def _waiting(pid: int, fd: int) -> int:
    """Bytes in the pipe that is `fd` of the process `pid`.  Raises OSError."""
    process = os.pidfd_open(pid)
    try:
        copy = _libc.syscall(_SYS_PIDFD_GETFD, process, fd, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            number = array.array("i", [0])
            fcntl.ioctl(copy, termios.FIONREAD, number)
            return number[0]
        finally:
            os.close(copy)
    except OSError as error:
        if error.errno in (9, 3):  # EBADF, ESRCH: closed or ended meanwhile
            return 0
        raise
    finally:
        os.close(process)
