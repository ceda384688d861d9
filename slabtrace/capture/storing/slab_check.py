# SPDX-License-Identifier: Apache-2.0
"""The slab check at the end of a recording: which objects are free, by the slab allocator's own lists.

Every slab that was allocated from is read, as far as there is time (turns.py).  An object that the events
leave outstanding, but whose slab lists it as free, was freed without being seen; one that is not listed is
in use at the end.  The result is a row of slabs.arrow for each slab.  A slab that cannot be read, or for
which there is no time, has no row, and nothing is claimed of its objects.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.session import Session
from slabtrace.capture.slabs.free_objects import FreeObjects, SlabState
from slabtrace.capture.slabs.places import SlabPlaces, find_slabs
from slabtrace.capture.storing.turns import in_turns, spread
from slabtrace.trace.format.batch import UInt64

LONGEST_S = 6.0
_PAGES = 4096  # looked up between two looks at the clock
_GROUP = 256  # slabs read together
_NEIGHBOURS = 16  # slabs near each other: their struct pages are read at once


class SlabRow(NamedTuple):
    """A row of slabs.arrow."""

    ts_ns: int
    slab: int
    cache: int
    stride: int
    objects: int
    free: bytes


def check_slabs(session: Session, pages: UInt64) -> list[SlabRow]:
    """Read the slabs on `pages` (addresses, ascending, shape (n,)), those of small caches first.

    A row is about objects that were allocated before its ts_ns (CLOCK_MONOTONIC) and have no free event.
    """
    if session.slab_shape is None or not session.vmemmap:
        return []
    deadline = time.monotonic() + LONGEST_S
    # half of the time is left for reading their lists
    places = _find(session, pages, deadline - LONGEST_S / 2)
    return list(in_turns(list(_by_cache(session, places)), deadline))


def _find(session: Session, pages: UInt64, until: float) -> SlabPlaces:
    """The slabs on these pages, each once."""
    none = np.empty(0, np.uint64)
    found = [SlabPlaces(none, none, none)]
    for part in spread(-(-len(pages) // _PAGES)).tolist():
        if time.monotonic() > until:
            break
        some = pages[_PAGES * part : _PAGES * (part + 1)]
        found.append(find_slabs(session.walk, session.shape, session.vmemmap, some))
    places = SlabPlaces(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    return places.take(np.unique(places.struct, return_index=True)[1])


def _by_cache(session: Session, places: SlabPlaces) -> Iterator[_OfCache]:
    """The slabs of each cache whose lists can be read; the objects of others stay unknown."""
    shape, percpu = session.slab_shape, session.percpu()
    for address in np.unique(places.cache).tolist():
        cache = session.caches.get(address)
        if cache is None or shape is None:
            continue
        try:
            free_objects = FreeObjects(session.walk, shape, percpu, cache)
        except ValueError:
            continue
        yield _OfCache(free_objects, places.take(places.cache == np.uint64(address)))


class _OfCache:
    """The slabs of one cache that were not read yet, in the order of reading."""

    def __init__(self, free_objects: FreeObjects, places: SlabPlaces) -> None:
        self._free_objects = free_objects
        self._places = places.take(_order(len(places.struct)))
        self._read = 0

    def __len__(self) -> int:
        return max(len(self._places.struct) - self._read, 0)

    def read(self, until: float) -> Iterator[SlabRow]:
        """Read slabs until then.  Objects move to and from sheaves meanwhile: read those before and after."""
        started_ns, free_objects = time.monotonic_ns(), self._free_objects
        sheaves, states = free_objects.in_sheaves(), list[SlabState]()
        while len(self) and time.monotonic() < until:
            states += self._read_group()
        _mark_free(sorted(states, key=lambda state: state.first), sheaves | free_objects.in_sheaves())
        for first, stride, free in states:
            bits = np.packbits(free, bitorder="little").tobytes()
            yield SlabRow(started_ns, first, free_objects.cache.address, stride, len(free), bits)

    def _read_group(self) -> list[SlabState]:
        some = self._places.take(np.arange(self._read, min(self._read + _GROUP, len(self._places.struct))))
        some = some.take(np.argsort(some.struct))
        self._read += _GROUP
        states = self._free_objects.states(some.struct, some.memory)
        return [state for state in states if state is not None]


def _order(slabs: int) -> NDArray[np.intp]:
    """The order in which slabs (by address) are read: neighbours together, shape (slabs,)."""
    together = spread(-(-slabs // _NEIGHBOURS))
    order = (together[:, None] * _NEIGHBOURS + np.arange(_NEIGHBOURS)).ravel()
    return order[order < slabs]


def _mark_free(states: list[SlabState], addresses: Iterable[int]) -> None:
    """Mark the objects at these addresses as free too.  `states`: ascending."""
    firsts = [state.first for state in states]
    for address in addresses:
        number = bisect_right(firsts, address) - 1
        if number >= 0:
            first, stride, free = states[number]
            index, rest = divmod(address - first, stride)
            if not rest and index < len(free):
                free[index] = True
