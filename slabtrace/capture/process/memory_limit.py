# SPDX-License-Identifier: Apache-2.0
"""How much memory this process may use: the machine's, or less where a memory cgroup limits it.

BPF maps count against the cgroup of the process that makes them (from 5.11 on), so a container's limit, and
not the machine's memory, decides how large the rings may be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from slabtrace.capture.process.running import DEFAULT, PROC, hierarchies, memberships

# cgroup2; version 1 (Documentation/admin-guide/cgroup-v*)
_LIMITS = ("memory.max", "memory.limit_in_bytes")
_USED = ("memory.current", "memory.usage_in_bytes")
_CACHED = ("inactive_file", "total_inactive_file")


def machine_memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cgroup_limit(proc: Path = PROC) -> int | None:
    """The least limit (bytes) of this process's memory cgroup and those above it; None if none is set.

    A limit that is not below a mounted cgroup file system cannot be seen, as in a container without one.
    """
    least = min(_limits(proc), default=machine_memory())
    return least if least < machine_memory() else None


def usable_memory(proc: Path = PROC) -> int:
    """Bytes that this process may use: the machine's memory, or the limit of its cgroup if that is less."""
    return cgroup_limit(proc) or machine_memory()


def free_memory(proc: Path = PROC) -> int:
    """Bytes that this process may take now: what is free, or can be freed, of the machine and its cgroups."""
    free = machine_memory()
    with suppress(OSError), (proc / "meminfo").open() as file:
        free = next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    for folder in _folders(proc):
        with suppress(OSError, StopIteration):
            limit = next(_numbers(folder, _LIMITS))
            free = min(free, limit - next(_numbers(folder, _USED)) + _cached(folder))
    return max(free, 0)


def _limits(proc: Path) -> Iterator[int]:
    for folder in _folders(proc):
        yield from _numbers(folder, _LIMITS)


def _folders(proc: Path) -> Iterator[Path]:
    """The memory cgroups of this process, and those above them, up to the ones that are mounted."""
    with suppress(OSError):
        paths = {
            number: path
            for number, controllers, path in memberships(proc / "self")
            if number == DEFAULT or "memory" in controllers.split(",")
        }
        for hierarchy in hierarchies(proc):
            path = paths.get(hierarchy.number)
            if path is not None:
                folder = Path(os.path.normpath(hierarchy.mount / os.path.relpath(path, hierarchy.root)))
                while folder.is_relative_to(hierarchy.mount):
                    yield folder
                    folder = folder.parent


def _numbers(folder: Path, names: tuple[str, ...]) -> Iterator[int]:
    """What is in those of the files that hold a number."""
    for name in names:
        with suppress(OSError, ValueError):  # "max" is no number
            yield int((folder / name).read_text())


def _cached(folder: Path) -> int:
    """Bytes of files that the kernel frees first when the cgroup needs memory."""
    words = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
    return max((int(number) for name, number in words if name in _CACHED), default=0)
