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

_LIMITS = ("memory.max", "memory.limit_in_bytes")  # cgroup2; version 1 (Documentation/admin-guide/cgroup-v*)


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


def _limits(proc: Path) -> Iterator[int]:
    with suppress(OSError):
        paths = {
            number: path
            for number, controllers, path in memberships(proc / "self")
            if number == DEFAULT or "memory" in controllers.split(",")
        }
        for hierarchy in hierarchies(proc):
            path = paths.get(hierarchy.number)
            if path is not None:
                folder = os.path.normpath(hierarchy.mount / os.path.relpath(path, hierarchy.root))
                yield from _of_folders(Path(folder), hierarchy.mount)


def _of_folders(folder: Path, mount: Path) -> Iterator[int]:
    """The limits of a cgroup and of those above it, up to the one that is mounted."""
    while folder.is_relative_to(mount):
        for name in _LIMITS:
            with suppress(OSError, ValueError):  # "max" is no number
                yield int((folder / name).read_text())
        folder = folder.parent
