# SPDX-License-Identifier: Apache-2.0
"""Which dentries are pinned: somebody holds a reference that does not go when memory is short.

A dentry with the reference count 0 is on a list of those that the kernel frees when memory is short.  Each
child of a directory holds a reference to it.  So a directory is pinned by references that are not its
children's, or by a pinned child.  Example (D: directory, a and b: its children, all of them read):

    count of D, a, b    2 0 0       3 0 0            2 0 1            2 0 0, but b is not read
    pinned              none        D (1 of 3)       b, and so D      a is not; D is not known
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.pin_shape import DentryShape
from slabtrace.capture.slabs.slab_bytes import Objects, joined
from slabtrace.trace.format.batch import Int64, UInt64

UNKNOWN, FREEABLE, PINNED = -1, 0, 1
_OPEN = 2  # depends on children
_KERNEL = np.uint64(1 << 63)  # addresses of the kernel are above

States = NDArray[np.int8]


class DentryFields(NamedTuple):
    """Of n dentries, shape (n,) each: `alias` and `sibling` point to the same field of the next dentry."""

    address: UInt64
    references: Int64
    parent: UInt64
    alias: UInt64
    sibling: UInt64
    child: UInt64


_NO_WORDS = np.empty(0, np.uint64)
_NO_DENTRIES = DentryFields(_NO_WORDS, np.empty(0, np.int64), *[_NO_WORDS] * 4)


def dentry_fields(objects: Objects, shape: DentryShape) -> DentryFields:
    """Those of the objects that look like dentries: in a merged cache, or while one is made, not all do."""
    looks_so = objects.u64(shape.parent) % np.uint64(8) == 0
    for offset in (shape.parent, shape.superblock, shape.name):
        looks_so &= objects.u64(offset) > _KERNEL
    chosen = objects.take(looks_so)
    links = (chosen.u64(at) for at in (shape.parent, shape.alias, shape.sibling, shape.children))
    return DentryFields(chosen.address, chosen.i32(shape.count), *links)


class Dentries:
    """n dentries, ascending by address, and the `state` of each: PINNED, FREEABLE or UNKNOWN.

    `count` (of references), `next_alias` (0: it is the last of its inode) and `state` have shape (n,).
    """

    def __init__(self, slabs: Iterable[DentryFields], shape: DentryShape) -> None:
        self._shape, fields = shape, DentryFields(*joined(slabs, _NO_DENTRIES))
        order = np.argsort(fields.address, kind="stable")
        self.address, self.count = fields.address[order], fields.references[order]
        self._parent, self.next_alias = fields.parent[order], fields.alias[order]
        self._sibling, self._child = fields.sibling[order], fields.child[order]
        self.state = self._states(self.count)

    def give_back(self, held: UInt64) -> None:
        """Judge again, without references to the dentries at `held`, each of which can be given up."""
        at = self.find(held)
        self.state = self._states(self.count - np.bincount(at[at >= 0], minlength=len(self.count)))

    def find(self, address: UInt64) -> NDArray[np.intp]:
        """The position of the dentry at each address, shape (n,); -1: it was not read."""
        if not len(self.address):
            return np.full(len(address), -1, np.intp)
        at = np.minimum(np.searchsorted(self.address, address), len(self.address) - 1)
        return np.where(self.address[at] == address, at, -1)

    def _states(self, count: Int64) -> States:
        """First what is clear without children; then parents follow from children, round by round.

        `count`: references that matter, shape (n,).
        """
        parent = self.find(self._parent)
        alive = self.count >= 0  # one that was killed waits for RCU, and has given up its parent (-128)
        parent[(self._parent == self.address) | ~alive] = -1
        children = self._sums(parent, parent >= 0)
        whole = self._lists_read(parent)
        state = np.full(len(count), _OPEN, np.int8)
        state[count <= 0] = FREEABLE
        state[(count > children) & whole] = PINNED
        state[(state == _OPEN) & ~whole] = UNKNOWN
        while self._settle(state, parent, children):
            pass
        state[state == _OPEN] = UNKNOWN  # a circle: the tree changed while it was read
        return state

    def _settle(self, state: States, parent: NDArray[np.intp], children: Int64) -> bool:
        """A round: parents whose children are known.  Returns whether that changed anything."""
        pinned, freeable, unknown = (
            self._sums(parent, (parent >= 0) & (state == each)) for each in (PINNED, FREEABLE, UNKNOWN)
        )
        waits, before = state == _OPEN, state.copy()
        state[waits & (pinned + freeable + unknown == children)] = UNKNOWN
        state[waits & (freeable == children)] = FREEABLE
        state[(waits | (state == UNKNOWN)) & (pinned > 0)] = PINNED
        return bool((state != before).any())

    def _sums(self, parent: NDArray[np.intp], of: NDArray[np.bool_]) -> Int64:
        """How many of the dentries `of` each one is the parent of."""
        return np.bincount(parent[of], minlength=len(parent)).astype(np.int64)

    def _lists_read(self, parent: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Of which dentries all children were read: the first one was, and what follows each one."""
        after_child = self._unread(self._sibling, self._parent) & (parent >= 0)
        whole: NDArray[np.bool_] = self._sums(parent, after_child) == 0
        return whole & ~self._unread(self._child, self.address)

    def _unread(self, link: UInt64, parent: UInt64) -> NDArray[np.bool_]:
        """Which links, in lists of the children of `parent`, lead to a dentry that was not read."""
        shape = self._shape
        end = parent + np.uint64(shape.children) if shape.circular else np.zeros_like(parent)
        unread: NDArray[np.bool_] = (link != end) & (self.find(link - np.uint64(shape.sibling)) < 0)
        return unread
