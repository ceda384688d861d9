# SPDX-License-Identifier: Apache-2.0
"""Where the inodes are in the objects of a cache, and which of them are pinned.

Each file system has inodes of its own, with struct inode somewhere in them.  No list of types is needed: an
inode's i_mapping points to its own i_data, whose host points back to the inode.  Where that is so for most
objects of a cache, it is a cache of inodes.

An inode with the count 0 can be given up.  So can one whose only references are those of its dentries
(i_dentry), if these can be given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.dentries import FREEABLE, PINNED, UNKNOWN, Dentries, States
from slabtrace.capture.slabs.pin_shape import DentryShape, InodeShape
from slabtrace.capture.slabs.slab_bytes import Objects, joined
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.trace.format.batch import Int64, UInt64

_MOST_ALIASES = 64
_U64 = 1 << 64


def inode_offsets(objects: Objects, shape: InodeShape) -> list[int]:
    """The offsets at which at least half of the objects have a struct inode; none if they are no inodes."""
    count, words = objects.words.shape
    if not count:
        return []
    places = objects.address[:, None] + np.arange(0, 8 * words, 8, dtype=np.uint64)
    points = objects.words - places == np.uint64((shape.data - shape.mapping) % _U64)
    found = [8 * int(word) - shape.mapping for word in np.flatnonzero(2 * points.sum(0) >= count)]
    inside = [each for each in found if 0 <= each <= 8 * words - shape.size]
    return [each for each in inside if 2 * int(_has_inode(objects, each, shape).sum()) >= count]


def _has_inode(objects: Objects, offset: int, shape: InodeShape) -> NDArray[np.bool_]:
    has: NDArray[np.bool_] = objects.u64(offset + shape.data + shape.host) == (
        objects.address + np.uint64(offset)
    )
    return has


class InodeFields(NamedTuple):
    """Of n inodes, shape (n,) each: `address` is that of the object, `link` that of a dentry's `alias`."""

    address: UInt64
    references: Int64
    link: UInt64


_NO_WORDS = np.empty(0, np.uint64)
_NO_INODES = InodeFields(_NO_WORDS, np.empty(0, np.int64), _NO_WORDS)


def inode_fields(objects: Objects, offset: int, shape: InodeShape) -> InodeFields:
    """Those of the objects that have an inode at `offset`."""
    chosen = objects.take(_has_inode(objects, offset, shape))
    return InodeFields(chosen.address, chosen.i32(offset + shape.count), chosen.u64(offset + shape.dentries))


class Inodes:
    """n inodes: `address` (of their objects) and `count` (of references) have shape (n,)."""

    def __init__(self, slabs: Iterable[InodeFields], alias: int) -> None:
        """`alias`: the offset of the link in a dentry."""
        self.address, self.count, link = joined(slabs, _NO_INODES)
        self._first = np.where(link == 0, link, link - np.uint64(alias))  # dentry, 0: none

    def states(self, dentries: Dentries, follow: Callable[[int, int], int]) -> States:
        """The state of each inode, shape (n,).

        `follow(first, count)` gives the state of one with several dentries, or with one that was not read.
        """
        state = np.full(len(self.count), UNKNOWN, np.int8)
        at = dentries.find(self._first)
        alone = at >= 0
        alone[alone] = dentries.next_alias[at[alone]] == 0
        state[alone] = dentries.state[at[alone]]
        state[(alone & (self.count > 1)) | (self._first == 0)] = PINNED
        state[self.count <= 0] = FREEABLE
        for row in np.flatnonzero(~alone & (self._first != 0) & (self.count > 0)).tolist():
            state[row] = follow(int(self._first[row]), int(self.count[row]))
        return state


class Follower:
    """Follows the dentries of an inode in the kernel's memory, while `go_on()` is true."""

    def __init__(
        self, walk: SlabWalk, shape: DentryShape, dentries: Dentries, go_on: Callable[[], bool]
    ) -> None:
        self._walk, self._shape, self._dentries, self._go_on = walk, shape, dentries, go_on

    def __call__(self, first: int, count: int) -> int:
        """The state of an inode with `count` references, whose first dentry is at `first`."""
        dentry = first
        for _ in range(_MOST_ALIASES):
            if not self._go_on():
                break
            state, dentry = self._read(dentry)
            if state != FREEABLE:
                return state
            count -= 1
            if not dentry:
                return PINNED if count > 0 else FREEABLE
        return UNKNOWN

    def _read(self, dentry: int) -> tuple[int, int]:
        """The state of a dentry, and the next one of the same inode (0: none)."""
        shape = self._shape
        at = int(self._dentries.find(np.array([dentry], np.uint64))[0])
        if at >= 0:
            link = int(self._dentries.next_alias[at])
            return int(self._dentries.state[at]), link and (link - shape.alias) % _U64
        raw = self._walk.read(dentry, shape.size)
        if raw is None:
            return UNKNOWN, 0
        words = np.frombuffer(raw[: len(raw) // 8 * 8], np.uint64)
        count = int(words.view(np.int32)[shape.count // 4])
        link, child = int(words[shape.alias // 8]), int(words[shape.children // 8])
        has_children = child != (dentry + shape.children if shape.circular else 0)
        state = FREEABLE if count <= 0 else UNKNOWN if has_children else PINNED
        return state, link and (link - shape.alias) % _U64
