# SPDX-License-Identifier: Apache-2.0
"""References that inodes of overlayfs hold to dentries of the file systems below.

A cached inode of overlayfs holds the dentries of its upper and lower files.  They go when it goes.  So a
dentry that is held by nothing but such an inode is not pinned if the inode is not.  An inode of overlayfs has
a pointer to the upper dentry, and (since 6.5, 163db0da3515) one to a struct ovl_entry:

    u32 number of lower files, then for each of them: its layer, its dentry

Overlayfs is often a module, whose types are not in the kernel's BTF.  So every pointer beside the struct
inode is tried, and only words that are addresses of dentries count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile

import numpy as np

from slabtrace.capture.slabs.dentries import Dentries
from slabtrace.capture.slabs.pin_shape import InodeShape
from slabtrace.capture.slabs.slab_bytes import Objects
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.trace.format.batch import UInt64

OVERLAY_CACHE = "ovl_inode"
_KERNEL = 1 << 63  # addresses of the kernel are above
_MOST_LAYERS = 500  # OVL_MAX_STACK


class OverlayInodes:
    """The inodes of overlayfs, as far as they were read."""

    def __init__(self, walk: SlabWalk, shape: InodeShape) -> None:
        self._walk, self._shape = walk, shape
        self._pointers: dict[int, list[int]] = {}  # by address of the object

    def add(self, objects: Objects, offset: int) -> None:
        """Take objects that have a struct inode at `offset`."""
        size = 8 * objects.words.shape[1]
        beside = [at for at in range(0, size, 8) if not offset <= at < offset + self._shape.size]
        for address, words in zip(
            objects.address.tolist(), objects.words[:, [at // 8 for at in beside]].tolist(), strict=True
        ):
            self._pointers[address] = [
                word for word in words if word > _KERNEL and not 0 <= word - address < size
            ]

    def held(self, freeable: UInt64, dentries: Dentries, go_on: Callable[[], bool]) -> UInt64:
        """Addresses of what may be dentries, held by the inodes whose objects are at `freeable`.

        An address is there once for each reference.
        """
        if not self._pointers:
            return np.empty(0, np.uint64)
        pointers = [each for address in freeable.tolist() for each in self._pointers.get(address, [])]
        upper = dentries.find(np.array(pointers, np.uint64)) >= 0
        others = (each for each, found in zip(pointers, upper, strict=True) if not found)
        lower = [each for entry in takewhile(lambda _: go_on(), others) for each in self._lower(entry)]
        return np.array(pointers + lower, np.uint64)

    def _lower(self, entry: int) -> Iterator[int]:
        """The lower dentries, if there is a struct ovl_entry at this address."""
        number = self._walk.u32(entry)
        raw = self._walk.read_long(entry + 8, 16 * number) if 0 < number <= _MOST_LAYERS else None
        yield from np.frombuffer(raw or b"", np.uint64)[1::2].tolist()
