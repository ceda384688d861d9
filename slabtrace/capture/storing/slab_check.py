# SPDX-License-Identifier: Apache-2.0
"""The slab check at the end of a recording: which objects are free, by the slab allocator's own lists.

Every slab that was allocated from is read.  An object that the events leave outstanding, but whose slab
lists it as free, was freed without being seen; one that is not listed is in use at the end.  The result
is a row of slabs.arrow for each slab.  A slab that cannot be read, or for which there is no time, has
no row, and nothing is claimed of its objects.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from slabtrace.capture.session import Session
from slabtrace.capture.slabs.free_objects import FreeObjects, SlabState
from slabtrace.capture.slabs.walk import SlabCache, SlabPlace
from slabtrace.trace.format.batch import UInt64

LONGEST_S = 3.0


class SlabRow(NamedTuple):
    """A row of slabs.arrow."""

    ts_ns: int
    slab: int
    cache: int
    stride: int
    objects: int
    free: bytes


def check_slabs(session: Session, pages: UInt64) -> list[SlabRow]:
    """Read the slabs on `pages` (addresses, ascending, shape (n,)).

    A row is about objects that were allocated before its ts_ns (CLOCK_MONOTONIC) and have no free event.
    """
    shape = session.slab_shape
    if shape is None or not session.vmemmap:
        return []
    percpu, deadline = session.percpu(), time.monotonic() + LONGEST_S
    rows: list[SlabRow] = []
    for cache, places in _by_cache(session, pages, deadline):
        with contextlib.suppress(ValueError):  # its objects stay unknown
            rows += _read_slabs(FreeObjects(session.walk, shape, percpu, cache), places, deadline)
    return rows


def _read_slabs(free_objects: FreeObjects, places: list[SlabPlace], deadline: float) -> Iterator[SlabRow]:
    """The slabs of one cache.  Objects move to and from sheaves meanwhile: read those before and after."""
    started_ns = time.monotonic_ns()
    sheaves = free_objects.in_sheaves()
    states = []
    for place in places:
        if time.monotonic() > deadline:
            break
        state = free_objects.state(place.struct, place.memory)
        if state is not None:
            states.append(state)
    sheaves |= free_objects.in_sheaves()
    for state in states:
        _mark_free(state, sheaves)
        bits = np.packbits(state.free, bitorder="little").tobytes()
        cache = free_objects.cache.address
        yield SlabRow(started_ns, state.first, cache, state.stride, len(state.free), bits)


def _mark_free(state: SlabState, addresses: set[int]) -> None:
    """Mark the objects at these addresses as free too."""
    if addresses:
        objects = range(state.first, state.first + state.stride * len(state.free), state.stride)
        state.free[[index for index, address in enumerate(objects) if address in addresses]] = True


def _by_cache(
    session: Session, pages: UInt64, deadline: float
) -> Iterator[tuple[SlabCache, list[SlabPlace]]]:
    """The slabs on these pages, each once, by cache.  Half of the time is left for reading their lists."""
    until = (time.monotonic() + deadline) / 2
    found: dict[int, dict[int, SlabPlace]] = {}
    for page in pages.tolist():
        if time.monotonic() > until:
            break
        place = session.walk.slab_at(session.vmemmap, page)
        if place is not None:
            found.setdefault(place.cache, {})[place.struct] = place
    for address, places in found.items():
        cache = session.caches.get(address)
        if cache is not None:
            yield cache, list(places.values())
