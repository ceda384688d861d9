# SPDX-License-Identifier: Apache-2.0
"""Loads that take a known number of bytes of one part of memory, and give them back.

    python -m tests.live.memory_loads            # names of the loads
    python -m tests.live.memory_loads percpu     # takes it, prints what it took, until stdin ends

Each takes less than 400 MiB and a few seconds.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from slabtrace.capture.programs import bpf_syscall
from tests.places import ROOT

MIB = 1 << 20
PAGE = mmap.PAGESIZE
_ARRAY, _PERCPU_ARRAY = 2, 6  # of enum bpf_map_type
_F_SETPIPE_SZ = 1031
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32
_MADV_NOHUGEPAGE, _MAP_NORESERVE = 15, 0x4000


class Took(NamedTuple):
    """What a load took: bytes of the part that must be named first, or of an item in it."""

    part: str
    bytes: int
    item: str = ""


Load = Iterator[Took]


def _map(kind: int, value_size: int, entries: int) -> int:
    """The descriptor of a new BPF map (BPF_MAP_CREATE is 0)."""
    attributes = struct.pack("=IIIII", kind, 4, value_size, entries, 0)
    return bpf_syscall._bpf_fd(0, attributes + bytes(48))


def percpu_map(entries: int, value_size: int) -> int:
    """The descriptor of a new percpu array: an allocation of per-CPU memory for each entry."""
    return _map(_PERCPU_ARRAY, value_size, entries)


@contextmanager
def percpu() -> Load:
    """Percpu arrays: 32 KiB for each entry and CPU (PCPU_MIN_UNIT_SIZE is the most)."""
    cpus = _possible_cpus()
    entries = 192 * MIB // (32768 * cpus)
    fds = [percpu_map(entries // 16, 32768) for _ in range(16)]
    try:
        yield Took("percpu", entries // 16 * 16 * 32768 * cpus, "Percpu")
    finally:
        for fd in fds:
            os.close(fd)


def _possible_cpus() -> int:
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rpartition("-")[2]
    return int(last) + 1


@contextmanager
def bpf_maps() -> Load:
    """Arrays of 16 MiB."""
    fds = [_map(_ARRAY, 4096, 4096) for _ in range(16)]
    try:
        yield Took("vmalloc", 16 * 4096 * 4096)
    finally:
        for fd in fds:
            os.close(fd)


@contextmanager
def stacks() -> Load:
    """Sleeping threads; a kernel stack of 16 KiB each (THREAD_SIZE of x86-64 and arm64)."""
    number = 8000
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/sleepers"
        source = ROOT / "tests/live/sleepers.c"
        subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", program, source], check=True)
        argv = [program, str(number)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield Took("kernel stacks", number * 16384)
            process.stdin.close()


@contextmanager
def datagrams() -> Load:
    """Datagrams of 12,000 bytes that nobody reads: each is a kmalloc of 16 KiB, whole pages."""
    number = 12_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader, _sender() as sender:
        reader.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, (1 << 30) - 1)
        reader.bind(("127.0.0.1", 0))
        for _ in range(number):
            sender.sendto(bytes(12_000), reader.getsockname())
        yield Took("large kmalloc", number * 16384)


def _sender() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@contextmanager
def pipes() -> Load:
    """Pipes filled to 1 MiB."""
    number, content = 200, bytes(MIB)
    with ExitStack() as stack:
        for _ in range(number):
            reading, writing = os.pipe()
            stack.callback(os.close, reading)
            stack.callback(os.close, writing)
            fcntl.fcntl(writing, _F_SETPIPE_SZ, MIB)
            assert os.write(writing, content) == MIB
        yield Took("not counted", number * MIB)


@contextmanager
def page_tables() -> Load:
    """One page read in every 2 MiB of a large area: a page table for each, and the shared page of zeros."""
    number = 40_000
    with mmap.mmap(-1, number * 2 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE) as area:
        area.madvise(_MADV_NOHUGEPAGE)
        for i in range(number):
            area[i * 2 * MIB]
        yield Took("page tables", number * PAGE)


@contextmanager
def tmpfs() -> Load:
    """A file in memory."""
    size = 200 * MIB
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        for _ in range(size // MIB):
            file.write(bytes(MIB))
        file.flush()
        yield Took("tmpfs", size)


@contextmanager
def slab() -> Load:
    """Names that do not exist, looked up: negative dentries, of 192 bytes, 21 in a page."""
    number = 1_000_000
    folder = tempfile.mkdtemp(dir="/var/tmp")
    try:
        for i in range(number):
            os.path.exists(f"{folder}/{i}")
        yield Took("slab", number * PAGE // 21, "dentry")
    finally:
        shutil.rmtree(folder)


LOADS: dict[str, Callable[[], object]] = {
    each.__name__: each for each in (percpu, stacks, datagrams, pipes, page_tables, tmpfs, bpf_maps, slab)
}


@contextmanager
def cgroups(number: int = 1000) -> Iterator[int]:
    """So many memory cgroups with their directories (version 1 or 2): percpu, and several slab caches."""
    from slabtrace.capture.process.running import hierarchies

    trees = hierarchies()
    tree = next((each for each in trees if "memory" in each.controllers.split(",")), trees[0])
    top = Path(tempfile.mkdtemp(prefix="slabtrace-test-", dir=tree.mount))
    try:
        for i in range(number):
            (top / str(i)).mkdir()
        yield number
    finally:
        for each in top.iterdir():
            if each.is_dir():
                each.rmdir()
        top.rmdir()


def main(argv: list[str]) -> None:
    """Take the load that is named until stdin ends."""
    if not argv:
        sys.stdout.write("\n".join(LOADS) + "\n")
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    with LOADS[argv[0]]() as took:  # type: ignore[attr-defined]
        sys.stdout.write(json.dumps(took._asdict()) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
