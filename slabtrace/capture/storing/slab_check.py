# SPDX-License-Identifier: Apache-2.0
"""The check at the end of a recording: every slab that was allocated from is asked which objects are free.

An object that the events leave outstanding and that its slab holds free was freed unseen; one that
is held was not.  Rows of slabs.arrow; slabs that cannot be read, or for which the time does not
suffice, have none, and nothing is claimed of their objects.
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
    """Ask the slabs on `pages` (addresses, ascending).

    What was allocated before a row's ts_ns (CLOCK_MONOTONIC) and not freed is free or held as the
    row says.
    """
    shape = session.slab_shape
    if shape is None or not session.vmemmap:
        return []
    percpu, deadline = session.percpu(), time.monotonic() + LONGEST_S
    rows: list[SlabRow] = []
    for cache, places in _by_cache(session, pages, deadline):
        with contextlib.suppress(ValueError):  # its objects stay unknown
            rows += _ask(FreeObjects(session.walk, shape, percpu, cache), places, deadline)
    return rows


def _ask(free_objects: FreeObjects, places: list[SlabPlace], deadline: float) -> Iterator[SlabRow]:
    """The slabs of one cache.  A sheaf may give and take in between: it is read before and after."""
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
        _add(state, sheaves)
        bits = np.packbits(state.free, bitorder="little").tobytes()
        cache = free_objects.cache.address
        yield SlabRow(started_ns, state.first, cache, state.stride, len(state.free), bits)


def _add(state: SlabState, addresses: set[int]) -> None:
    """Objects at these addresses are free too."""
    if addresses:
        objects = range(state.first, state.first + state.stride * len(state.free), state.stride)
        state.free[[index for index, address in enumerate(objects) if address in addresses]] = True


def _by_cache(
    session: Session, pages: UInt64, deadline: float
) -> Iterator[tuple[SlabCache, list[SlabPlace]]]:
    """The slabs on these pages, each once, by cache; half the time is left for asking them."""
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
