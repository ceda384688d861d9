# SPDX-License-Identifier: Apache-2.0
"""The pin check at the end of a recording: which dentries and inodes the kernel could give up.

It follows the slab check and reads the objects in use on the same slabs.  The reference counts say whether
somebody holds an object (dentries.py, inodes.py).  The result is a row of pins.arrow for each object.
Nothing is locked: a state is that of some moment during the check.  An object that cannot be read, or for
which there is no time, has no row, and nothing is claimed of it.  Small caches come first (turns.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.session import Session
from slabtrace.capture.slabs.dentries import FREEABLE, UNKNOWN, Dentries, States, dentry_fields
from slabtrace.capture.slabs.inodes import Follower, InodeFields, Inodes, inode_fields, inode_offsets
from slabtrace.capture.slabs.overlay import OVERLAY_CACHE, OverlayInodes
from slabtrace.capture.slabs.pin_shape import InodeShape, PinShape
from slabtrace.capture.slabs.slab_bytes import Objects, joined, read_objects
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.capture.storing.slab_check import SlabRow
from slabtrace.capture.storing.turns import in_turns
from slabtrace.trace.format.batch import Int64, UInt64

DENTRY_CACHE = "dentry"
LONGEST_S = 3.0
MOST_ROWS = 500_000
_PROBED = 4  # slabs of a cache by which it is decided whether its objects are inodes


class PinRows(NamedTuple):
    """The columns of pins.arrow, shape (n,)."""

    ts_ns: Int64
    ptr: UInt64
    pinned: NDArray[np.uint8]


def check_pins(session: Session, slabs: Sequence[SlabRow]) -> PinRows:
    """Read the dentries and inodes in use on `slabs`, which is what the slab check found.

    A row is about an object that was allocated before its ts_ns (CLOCK_MONOTONIC) and has no free event.
    """
    shape = session.pin_shape
    if shape is None:
        return _no_rows()
    by_cache: dict[int, list[SlabRow]] = {}
    for row in slabs:
        by_cache.setdefault(row.cache, []).append(row)
    dentry_slabs = [
        row for cache in by_cache if _called(session, cache, DENTRY_CACHE) for row in by_cache[cache]
    ]
    overlay = {cache for cache in by_cache if _called(session, cache, OVERLAY_CACHE)}
    return PinCheck(session.walk, shape, LONGEST_S).rows(dentry_slabs, by_cache, overlay)


def _called(session: Session, identity: int, name: str) -> bool:
    """Is that the name, or an alias, of this cache?"""
    cache = session.caches.at(identity)
    return cache is not None and name in session.caches.names(cache)


def _no_rows() -> PinRows:
    return PinRows(np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0, np.uint8))


class PinCheck:
    """Reads for `seconds` at most: half of them dentries, and a quarter inodes.

    The last quarter is for dentries and lower files that were not read, which are followed one by one.
    """

    def __init__(self, walk: SlabWalk, shape: PinShape, seconds: float) -> None:
        self._walk, self._shape = walk, shape
        self._started_ns, self._started = time.monotonic_ns(), time.monotonic()
        self._seconds = seconds
        self._overlay = OverlayInodes(walk, shape.inode)

    def rows(
        self,
        dentry_slabs: Sequence[SlabRow],
        by_cache: Mapping[int, Sequence[SlabRow]],
        overlay: Container[int] = (),
    ) -> PinRows:
        """`dentry_slabs`: those of dentries; `overlay`: caches of inodes of overlayfs."""
        shape = self._shape
        of_slabs = self._objects(iter(dentry_slabs), self._started + self._seconds / 2)
        dentries = Dentries((dentry_fields(each, shape.dentry) for each in of_slabs), shape.dentry)
        work = [self._inodes(slabs, cache in overlay) for cache, slabs in by_cache.items()]
        until = self._started + self._seconds * 3 / 4
        found = in_turns([each for each in work if each is not None], until)
        inodes = Inodes(found, shape.dentry.alias)
        of_inodes = self._inode_states(dentries, inodes)  # may change those of dentries
        ptr = np.concatenate([inodes.address, dentries.address])
        state = np.concatenate([of_inodes, dentries.state])
        known = np.flatnonzero(state != UNKNOWN)[:MOST_ROWS]
        known = known[np.argsort(ptr[known])]
        ts_ns = np.full(len(known), self._started_ns, np.int64)
        return PinRows(ts_ns, ptr[known], state[known].astype(np.uint8))

    def _inode_states(self, dentries: Dentries, inodes: Inodes) -> States:
        """The states of the inodes; those of dentries that overlayfs holds are judged again."""

        def go_on() -> bool:
            return self._has_time(self._seconds)

        follow = Follower(self._walk, self._shape.dentry, dentries, go_on)
        state = inodes.states(dentries, follow)
        below = self._overlay.held(inodes.address[state == FREEABLE], dentries, go_on)
        if len(below):
            dentries.give_back(below)
            state = inodes.states(dentries, follow)
        return state

    def _inodes(self, slabs: Sequence[SlabRow], overlay: bool) -> _InodesOfCache | None:
        """The slabs of one cache, if it is one of inodes."""
        shape = self._shape.inode
        if slabs[0].stride < shape.size:
            return None
        probed = list(self._objects(iter(slabs[:_PROBED]), self._started + self._seconds))
        offsets = inode_offsets(Objects(*joined(probed[1:], probed[0])), shape) if probed else []
        if not offsets:
            return None
        held_by = self._overlay if overlay else None
        return _InodesOfCache(self._objects, slabs, offsets, shape, held_by)

    def _objects(self, slabs: Iterator[SlabRow], until: float) -> Iterator[Objects]:
        """The objects in use on these slabs, until then (time.monotonic)."""
        while time.monotonic() < until and (row := next(slabs, None)) is not None:
            free = np.unpackbits(np.frombuffer(row.free, np.uint8), count=row.objects, bitorder="little")
            objects = read_objects(self._walk, row.slab, row.stride, free == 0)
            if objects is not None:
                yield objects

    def _has_time(self, seconds: float) -> bool:
        return time.monotonic() < self._started + seconds


class _InodesOfCache:
    """The slabs of one cache of inodes that were not read yet (turns.py)."""

    def __init__(
        self,
        objects: Callable[[Iterator[SlabRow], float], Iterator[Objects]],
        slabs: Sequence[SlabRow],
        offsets: Sequence[int],
        shape: InodeShape,
        overlay: OverlayInodes | None,
    ) -> None:
        """`offsets`: of the inodes in an object; `overlay`: takes the objects of a cache of overlayfs."""
        self._objects, self._slabs, self._read = objects, slabs, 0
        self._offsets, self._shape, self._overlay = offsets, shape, overlay

    def __len__(self) -> int:
        return len(self._slabs) - self._read

    def read(self, until: float) -> Iterator[InodeFields]:
        """The inodes in the slabs that can be read until then."""
        for objects in self._objects(self._rows(), until):
            yield from (inode_fields(objects, offset, self._shape) for offset in self._offsets)
            if self._overlay is not None:
                self._overlay.add(objects, self._offsets[0])

    def _rows(self) -> Iterator[SlabRow]:
        while self._read < len(self._slabs):
            self._read += 1
            yield self._slabs[self._read - 1]
