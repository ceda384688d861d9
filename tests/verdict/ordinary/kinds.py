# SPDX-License-Identifier: Apache-2.0
"""What a process may have made and not given back, of forty kinds.

Each function makes one, the `number`-th, and returns what gives it back.  A leak does that only at the end,
its flat twin at once.  System calls by number are those of x86-64.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import select
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any

from tests.verdict.loads import libc

GiveBack = Callable[[], object]
Make = Callable[[int], GiveBack]

_libc = ctypes.CDLL(None, use_errno=True)
DISK, MEMORY = "/var/tmp", "/dev/shm"
_SIGNAL = 40
_SNDBUFFORCE, _RCVBUFFORCE, _LARGE = 32, 33, 64 << 20
_PR_SET_NAME = 15


def call(number: int, *arguments: Any) -> int:
    """A system call; raises OSError."""
    given = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result = int(_libc.syscall(ctypes.c_long(number), *given))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(number))
    return result


def named(name: str) -> None:
    """Give the process this comm."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15])


@cache
def folder(where: str) -> str:
    """A folder of this process, on a disk or in memory."""
    return tempfile.mkdtemp(prefix="ordinary-", dir=where)


def remove_folders() -> None:
    """At the end, the folders and what is in them."""
    for each in (DISK, MEMORY):
        shutil.rmtree(folder(each), True)


def _socket(*kind: int) -> GiveBack:
    return socket.socket(*kind).close


@cache
def _pair(kind: int) -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair(socket.AF_UNIX, kind)
    for each in pair:
        each.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, _LARGE)
    return pair


@cache
def _inbox() -> tuple[socket.socket, socket.socket]:
    inbox, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    inbox.bind(("127.0.0.1", 0))
    inbox.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _LARGE)
    return inbox, sender


@cache
def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


@cache
def _epoll() -> select.epoll:
    return select.epoll()


@cache
def _watching() -> int:
    inotify = libc.inotify()
    libc.watch(inotify, folder(DISK))
    os.set_blocking(inotify, False)
    return inotify


@cache
def _locked() -> int:
    return os.open(f"{folder(DISK)}/locked", os.O_CREAT | os.O_RDWR)


@cache
def _in_memory() -> str:
    path = f"{folder(MEMORY)}/file"
    os.close(os.open(path, os.O_CREAT))
    return path


def _drained(fd: int) -> None:
    with suppress(BlockingIOError):
        os.read(fd, 4096)  # all events


def pidfd(number: int) -> GiveBack:
    return partial(os.close, os.pidfd_open(os.getpid()))


def memfd(number: int) -> GiveBack:
    return partial(os.close, os.memfd_create(f"m{number}"))


def timerfd(number: int) -> GiveBack:
    return partial(os.close, libc.timerfd())


def signalfd(number: int) -> GiveBack:
    return partial(os.close, call(289, -1, ctypes.byref(ctypes.c_uint64(1 << 11)), 8, 0))


def maps_file(number: int) -> GiveBack:
    return partial(os.close, os.open("/proc/self/maps", os.O_RDONLY))


def stat_file(number: int) -> GiveBack:
    return partial(os.close, os.open(f"/proc/{os.getpid()}/stat", os.O_RDONLY))


def open_folder(number: int) -> GiveBack:
    return partial(os.close, os.open(folder(DISK), os.O_RDONLY))


def unnamed_file(number: int) -> GiveBack:
    return partial(os.close, os.open(folder(DISK), os.O_TMPFILE | os.O_RDWR))


def netlink_socket(number: int) -> GiveBack:
    return _socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)


def raw_socket(number: int) -> GiveBack:
    return _socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def packet_socket(number: int) -> GiveBack:
    return _socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


def udp_socket(number: int) -> GiveBack:
    return _socket(socket.AF_INET, socket.SOCK_DGRAM)


def tcp6_socket(number: int) -> GiveBack:
    return _socket(socket.AF_INET6, socket.SOCK_STREAM)


def listener(number: int) -> GiveBack:
    return socket.create_server(("127.0.0.1", 0)).close


def inotify_instance(number: int) -> GiveBack:
    return partial(os.close, libc.inotify())


def fanotify_instance(number: int) -> GiveBack:
    return partial(os.close, call(300, 0, 0))


def epoll_instance(number: int) -> GiveBack:
    return partial(os.close, libc.epoll())


def io_uring(number: int) -> GiveBack:
    return partial(os.close, call(425, 8, ctypes.create_string_buffer(120)))


def perf_event(number: int) -> GiveBack:
    attributes = (ctypes.c_uint32 * 32)(1, 112, 9)  # a software event that never happens
    return partial(os.close, call(298, attributes, 0, -1, -1, 0))


def bpf_map(number: int) -> GiveBack:
    return partial(os.close, libc.new_map(8, 16))


def userfaultfd(number: int) -> GiveBack:
    return partial(os.close, call(323, 0))


def terminal(number: int) -> GiveBack:
    return partial(os.close, os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))


def aio_context(number: int) -> GiveBack:
    context = ctypes.c_ulong()
    call(206, 1, ctypes.byref(context))
    return partial(call, 207, context.value)


def message_queue(number: int) -> GiveBack:
    return partial(libc.remove_queue, libc.new_queue())


def semaphores(number: int) -> GiveBack:
    return partial(call, 66, call(64, 0, 4, 0o1600), 0, 0, 0)


def segment(number: int) -> GiveBack:
    return partial(libc.remove_segment, libc.new_segment())


def pipe_with_data(number: int) -> GiveBack:
    ends = os.pipe()
    os.write(ends[1], bytes(100))
    return lambda: [os.close(each) for each in ends]


def unix_message(number: int) -> GiveBack:
    here, there = _pair(socket.SOCK_STREAM)
    here.send(bytes(500))
    return partial(there.recv, 500)


def datagram(number: int) -> GiveBack:
    inbox, sender = _inbox()
    sender.sendto(bytes(777), inbox.getsockname())
    return partial(inbox.recv, 777)


def file_in_flight(number: int) -> GiveBack:
    here, there = _pair(socket.SOCK_DGRAM)
    with open("/dev/null", "rb") as file:
        socket.send_fds(here, [b"x"], [file.fileno()])
    return lambda: [os.close(each) for each in socket.recv_fds(there, 1, 1)[1]]


def unaccepted_connection(number: int) -> GiveBack:
    with socket.create_connection(_listener().getsockname()):
        pass
    return lambda: _listener().accept()[0].close()


def epoll_item(number: int) -> GiveBack:
    fd = os.eventfd(0)
    _epoll().register(fd)
    return partial(os.close, fd)


def inotify_event(number: int) -> GiveBack:
    inotify, path = _watching(), f"{folder(DISK)}/event-{number}"
    os.close(os.open(path, os.O_CREAT))
    os.unlink(path)
    return partial(_drained, inotify)


def file_lock(number: int) -> GiveBack:
    fcntl.lockf(_locked(), fcntl.LOCK_EX, 1, 2 * number)
    return partial(fcntl.lockf, _locked(), fcntl.LOCK_UN, 1, 2 * number)


def attribute(number: int) -> GiveBack:
    path, name = _in_memory(), f"trusted.kept-{number}"
    os.setxattr(path, name, bytes(100))
    return partial(os.removexattr, path, name)


def symlink(number: int) -> GiveBack:
    path = f"{_in_memory()}-{number}"
    os.symlink("/a/place/whose/name/is/longer/than/fits/into/an/inode", path)
    return partial(os.unlink, path)


def mount(number: int) -> GiveBack:
    path = f"{folder(DISK)}/mount-{number}"
    os.mkdir(path)
    call(165, b"none", path.encode(), b"tmpfs", 0, None)
    return lambda: [libc.unmount(path), os.rmdir(path)]


def key(number: int) -> GiveBack:
    added = libc.add_key("user", f"kept-{os.getpid()}-{number}", b"payload", libc.USER_KEYRING)
    return partial(libc.unlink_key, added, libc.USER_KEYRING)


def timer(number: int) -> GiveBack:
    return partial(libc.delete_timer, libc.new_timer())


def queued_signal(number: int) -> GiveBack:
    signal.pthread_sigmask(signal.SIG_BLOCK, [_SIGNAL])
    libc.queue_signal(os.getpid(), _SIGNAL)
    return partial(signal.sigtimedwait, [_SIGNAL], 0)


def mapping(number: int) -> GiveBack:
    access = mmap.PROT_READ if number % 2 else mmap.PROT_READ | mmap.PROT_WRITE  # neighbours are not merged
    return mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, access).close


def zombie(number: int) -> GiveBack:
    return partial(os.waitpid, libc.forked(lambda: None), 0)


def thread(number: int) -> GiveBack:
    end = threading.Event()
    waiting = threading.Thread(target=end.wait, daemon=True)
    waiting.start()
    return lambda: [end.set(), waiting.join()]


def network_namespace(number: int) -> GiveBack:
    def held() -> None:
        libc.unshare(libc.CLONE_NEWNET)
        signal.pause()

    pid = libc.forked(held)
    return lambda: [os.kill(pid, signal.SIGKILL), os.waitpid(pid, 0)]


KINDS: dict[str, Make] = {
    each.__name__: each
    for each in (
        pidfd, memfd, timerfd, signalfd, maps_file, stat_file, open_folder, unnamed_file,
        netlink_socket, raw_socket, packet_socket, udp_socket, tcp6_socket, listener,
        inotify_instance, fanotify_instance, epoll_instance, io_uring, perf_event, bpf_map,
        userfaultfd, terminal, aio_context, message_queue, semaphores, segment, pipe_with_data,
        unix_message, datagram, file_in_flight, unaccepted_connection, epoll_item, inotify_event,
        file_lock, attribute, symlink, mount, key, timer, queued_signal, mapping, zombie,
        network_namespace, thread,
    )
}  # fmt: skip
