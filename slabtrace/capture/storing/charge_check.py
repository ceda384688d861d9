# SPDX-License-Identifier: Apache-2.0
"""The charge check at the end of a recording: to which memory cgroups objects are charged.

It follows the slab check and reads the entries of the objects in use on the same slabs (slabs/charges.py).
The result is a row of charged.arrow for each object, and one of cgroups.arrow for each cgroup.  Nothing is
locked: an object that is in use all the while keeps its entry.  An object that cannot be read, or for which
there is no time, has no row, and nothing is claimed of it.  Small caches come first (turns.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from slabtrace.capture.session import Session
from slabtrace.capture.slabs.charge_shape import ChargeShape
from slabtrace.capture.slabs.charges import (
    Charged,
    ChargedCgroup,
    InUse,
    SlabCharges,
    cgroup_of,
    path_of,
)
from slabtrace.capture.slabs.known_caches import address_of
from slabtrace.capture.slabs.slab_bytes import joined
from slabtrace.capture.slabs.walk import SlabWalk
from slabtrace.capture.storing.slab_check import SlabRow
from slabtrace.capture.storing.turns import in_turns
from slabtrace.trace.format.batch import Int64, UInt64
from slabtrace.trace.format.schema import CgroupEvent

LONGEST_S = 2.0
MOST_ROWS = 500_000
_GROUP = 256  # slabs read together
_NONE = ChargedCgroup(0, 0, 0)


class ChargeRows(NamedTuple):
    """The columns of charged.arrow, shape (n,)."""

    ts_ns: Int64
    ptr: UInt64
    hierarchy: UInt64
    cgroup: UInt64


class Charges(NamedTuple):
    """What was found; `cgroups`: columns of cgroups.arrow."""

    rows: ChargeRows
    cgroups: dict[str, list[Any]]


def check_charges(session: Session, slabs: Sequence[SlabRow]) -> Charges:
    """Read the entries of the objects in use on `slabs`, which is what the slab check found.

    A row is about an object that was allocated before its ts_ns (CLOCK_MONOTONIC) and has no free event.
    """
    shape = session.charge_shape
    if not isinstance(shape, ChargeShape) or not session.vmemmap:
        return ChargeCheck.nothing()
    sizeof_page = session.shape.sizeof_page
    reader = SlabCharges(session.walk, session.kernel_memory, shape, session.vmemmap, sizeof_page)
    return ChargeCheck(session.walk, shape, reader, LONGEST_S).charges(slabs)


class ChargeCheck:
    """Reads for `seconds` at most: three quarters of that entries of slabs, then what cgroups they name."""

    def __init__(self, walk: SlabWalk, shape: ChargeShape, reader: SlabCharges, seconds: float) -> None:
        self._walk, self._shape, self._reader = walk, shape.cgroup, reader
        self._started_ns, self._started = time.monotonic_ns(), time.monotonic()
        self._seconds = seconds

    @staticmethod
    def nothing() -> Charges:
        """Of a kernel on which nothing is known."""
        none = np.empty(0, np.uint64)
        return Charges(ChargeRows(np.empty(0, np.int64), none, none, none), _cgroup_rows([], 0))

    def charges(self, slabs: Sequence[SlabRow]) -> Charges:
        """The rows of the objects in use on these slabs, by address."""
        none = np.empty(0, np.uint64)
        found = Charged(*joined(self._entries(slabs), Charged(none, none)))
        found = Charged(*(column[:MOST_ROWS] for column in found))
        names, which, objects = np.unique(found.objcg, return_inverse=True, return_counts=True)
        cgroups: list[ChargedCgroup | None] = [None] * len(names)
        for at in np.argsort(-objects, kind="stable").tolist():  # those of most objects first
            cgroups[at] = self._cgroup(int(names[at]))
        known = np.flatnonzero(np.array([each is not None for each in cgroups], np.bool_)[which])
        known = known[np.argsort(found.ptr[known], kind="stable")]
        columns = [np.array([getattr(each or _NONE, name) for each in cgroups], np.uint64)[which[known]]
                   for name in ("hierarchy", "number")]  # fmt: skip
        ts_ns = np.full(len(known), self._started_ns, np.int64)
        rows = ChargeRows(ts_ns, found.ptr[known], *columns)
        return Charges(rows, self._named([each for each in cgroups if each]))

    def _entries(self, slabs: Sequence[SlabRow]) -> Iterator[Charged]:
        """What the slabs say, until there is no more time, or as many rows as are wanted."""
        by_cache: dict[int, list[SlabRow]] = {}
        for row in slabs:
            by_cache.setdefault(row.cache, []).append(row)
        work = [_OfCache(self._reader, rows) for rows in by_cache.values()]
        number = 0
        for each in in_turns(work, self._started + self._seconds * 3 / 4):
            yield each
            number += len(each.ptr)
            if number >= MOST_ROWS:
                return

    def _cgroup(self, objcg: int) -> ChargedCgroup | None:
        """The cgroup of an obj_cgroup; None if it is not known, or there is no more time."""
        if not objcg:
            return _NONE
        return cgroup_of(self._walk, self._shape, objcg) if self._has_time() else None

    def _named(self, cgroups: Sequence[ChargedCgroup]) -> dict[str, list[Any]]:
        """Columns of cgroups.arrow for all of these that have a path."""
        several = {(each.hierarchy, each.number): each for each in cgroups if each.number}
        paths = [
            (each, path_of(self._walk, self._shape, each.node) if self._has_time() else "")
            for each in several.values()
        ]
        return _cgroup_rows([each for each in paths if each[1]], self._started_ns)

    def _has_time(self) -> bool:
        return time.monotonic() < self._started + self._seconds


def _cgroup_rows(paths: Sequence[tuple[ChargedCgroup, str]], ts_ns: int) -> dict[str, list[Any]]:
    return {
        "ts_ns": [ts_ns] * len(paths),
        "event": [CgroupEvent.SEEN] * len(paths),
        "hierarchy": [cgroup.hierarchy for cgroup, _ in paths],
        "cgroup": [cgroup.number for cgroup, _ in paths],
        "path": [path for _, path in paths],
        "controllers": [""] * len(paths),
    }


class _OfCache:
    """The slabs of one cache that were not read yet (turns.py).  Those without an object in use are not."""

    def __init__(self, reader: SlabCharges, slabs: Sequence[SlabRow]) -> None:
        self._reader, self._slabs, self._read = reader, [*filter(None, map(_in_use, slabs))], 0

    def __len__(self) -> int:
        return len(self._slabs) - self._read

    def read(self, until: float) -> Iterator[Charged]:
        """The objects in use on the slabs that can be read until then."""
        while len(self) and time.monotonic() < until:
            some = self._slabs[self._read : self._read + _GROUP]
            self._read += len(some)
            yield from self._reader.read(some)


def _in_use(row: SlabRow) -> InUse | None:
    """The objects of a slab that are in use; None if none is."""
    free = np.unpackbits(np.frombuffer(row.free, np.uint8), count=row.objects, bitorder="little")
    return None if free.all() else InUse(row.slab, address_of(row.cache), row.stride, free == 0)
