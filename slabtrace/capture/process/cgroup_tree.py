# SPDX-License-Identifier: Apache-2.0
"""Every cgroup that there is, with its path and number, from the mounted cgroup file systems.

A cgroup is a folder there, and its number the folder's inode number (fs/kernfs/dir.c).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from slabtrace.capture.process.running import Hierarchy


def cgroups_of(hierarchy: Hierarchy) -> Iterator[tuple[str, int]]:
    """(path, number) of each cgroup of a hierarchy that can be seen; the path as /proc/PID/cgroup has it.

    A cgroup that is removed meanwhile is left out.
    """
    try:
        number = hierarchy.mount.stat().st_ino
    except OSError:
        return
    yield hierarchy.root, number
    yield from _below(hierarchy.mount, hierarchy.root.rstrip("/"))


def _below(mount: Path, root: str) -> Iterator[tuple[str, int]]:
    left = [(os.fspath(mount), root)]
    while left:
        folder, path = left.pop()
        for name, number in _folders(folder):
            yield f"{path}/{name}", number
            left.append((f"{folder}/{name}", f"{path}/{name}"))


def _folders(folder: str) -> list[tuple[str, int]]:
    """(name, inode number) of each folder in a folder."""
    try:
        with os.scandir(folder) as entries:
            return [(each.name, each.inode()) for each in entries if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []
