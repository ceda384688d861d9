# SPDX-License-Identifier: Apache-2.0
"""Paths of dentries and kernfs nodes, and what superblocks are called; many at a time, each read once."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from slabtrace.capture.inspecting.kinds.kind import KERNEL, Scene
from slabtrace.capture.inspecting.memory import strings
from slabtrace.trace.format.batch import UInt64

_DEEPEST = 48
_LONGEST = 256  # NAME_MAX, and a 0 byte
_OCTAL = re.compile(r"\\([0-7]{3})")  # as the kernel writes blanks in a path
_MINOR_BITS = 20  # include/linux/kdev_t.h
MOUNTS = Path("/proc/self/mountinfo")
UNREAD = "?"


def mount_points(text: str) -> dict[int, str]:
    """Where each device is mounted as a whole, by its number: the shortest mount point of mountinfo(5)."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) < 5 or fields[3] != "/":
            continue
        major, _, minor = fields[2].partition(":")
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
        number = int(major) << _MINOR_BITS | int(minor)
        if number not in found or len(point) < len(found[number]):
            found[number] = point
    return found


def superblock(scene: Scene, address: int) -> tuple[str, str]:
    """The file system of a superblock, and where it is mounted ("": nowhere that is seen here)."""
    if address not in scene.supers:
        kind = scene.word(address, "super_block.s_type")
        name = scene.word(kind, "file_system_type.name") if kind else 0
        text = strings(scene.memory, np.array([name], np.uint64))[0] if name else ""
        device = scene.half(address, "super_block.s_dev")
        scene.supers[address] = (text, scene.mounts.get(device, ""))
    return scene.supers[address]


def dentry_paths(scene: Scene, dentries: UInt64) -> list[str]:
    """The path of each dentry, from where its file system is mounted."""
    layout = scene.layout
    climb(
        scene, dentries, layout["dentry.d_parent"], layout["dentry.d_name.name"], layout.size("dentry") or 0
    )
    return [_full(scene, address) for address in dentries.tolist()]


def _full(scene: Scene, address: int) -> str:
    if address in scene.paths:
        return scene.paths[address]
    at, found = address, list[str]()
    for _ in range(_DEEPEST):
        above, name = scene.nodes.get(at, (0, ""))
        if not above:
            return UNREAD
        if above == at:
            break
        found.append(name)
        at = above
    else:
        return UNREAD  # a circle, or deeper than any path
    kind, mounted = superblock(scene, scene.word(at, "dentry.d_sb"))
    path = "/" + "/".join(reversed(found))
    scene.paths[address] = mounted.rstrip("/") + path if mounted else f"{kind}:{path}"
    if mounted and path == "/":
        scene.paths[address] = mounted
    return scene.paths[address]


def climb(scene: Scene, start: UInt64, parent: int, name: int, size: int) -> None:
    """Read all ancestors into `scene.nodes`: {address: (address of its parent, its name)}.

    A root is its own parent, or has none (then it is its own parent here); 0 is one that cannot be read.
    `size` is that of the struct.
    """
    level = np.unique(start[start >= KERNEL])
    for _ in range(_DEEPEST):
        level = np.array([each for each in level.tolist() if each not in scene.nodes], np.uint64)
        if not len(level):
            break
        words, known = scene.memory.structs(level, size // 8 * 8)
        texts = strings(scene.memory, words[:, name // 8], _LONGEST)
        for at, above, text, ok in zip(
            level.tolist(), words[:, parent // 8].tolist(), texts, known.tolist(), strict=True
        ):
            scene.nodes[at] = (above or at) if ok else 0, text
        above = words[:, parent // 8]
        level = np.unique(above[(above >= KERNEL) & known])


def kernfs_paths(scene: Scene, nodes: UInt64) -> list[str]:
    """The path of each kernfs node, from its root."""
    layout = scene.layout
    size = layout.size("kernfs_node") or 0
    climb(scene, nodes, layout["kernfs_node.parent"], layout["kernfs_node.name"], size)
    return [_of_kernfs(scene, node) for node in nodes.tolist()]


def _of_kernfs(scene: Scene, node: int) -> str:
    found, at = list[str](), node
    for _ in range(_DEEPEST):
        above, name = scene.nodes.get(at, (0, ""))
        if above in (0, at):
            break
        found.append(name)
        at = above
    else:
        return UNREAD
    return UNREAD if not scene.nodes.get(at, (0, ""))[0] else "/" + "/".join(reversed(found))
