# SPDX-License-Identifier: Apache-2.0
"""The slab check at the end of a recording: which objects are free, by the slab allocator's own lists.

Every slab that was allocated from is read, as far as there is time (turns.py).  An object that the events
leave outstanding, but whose slab lists it as free, was freed without being seen; one that is not listed is
in use at the end.  The result is a row of slabs.arrow for each slab.  A slab that cannot be read, or for
which there is no time, has no row, and nothing is claimed of its objects.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.inspecting.in_use import Batch, InUse, reader_of
from slabtrace.capture.session import Session
from slabtrace.capture.slabs.places import Slabs, find_slabs
from slabtrace.capture.slabs.shape import SlabShape
from slabtrace.capture.storing.turns import in_turns, spread
from slabtrace.trace.format.batch import UInt64

LONGEST_S = 6.0
AGAIN_S = 2.0  # once more after the inspection, which takes some seconds; the small caches come first
_PAGES = 4096  # looked up between two looks at the clock
_GROUP = 1024  # slabs read between two looks at the clock
_NEIGHBOURS = 16  # slabs near each other are read together


class SlabRow(NamedTuple):
    """A row of slabs.arrow."""

    ts_ns: int
    slab: int
    cache: int
    stride: int
    objects: int
    free: bytes


def check_slabs(session: Session, pages: UInt64, longest_s: float = LONGEST_S) -> list[SlabRow]:
    """Read the slabs on `pages` (addresses, ascending, shape (n,)), those of small caches first.

    A row is about objects that were allocated before its ts_ns (CLOCK_MONOTONIC) and have no free event.
    """
    shape = session.slab_shape
    if shape is None or not session.vmemmap:
        return []
    deadline = time.monotonic() + longest_s
    # half of the time is left for reading their lists
    slabs = _find(session, shape, pages, deadline - longest_s / 2)
    return list(in_turns(list(_by_cache(session, shape, slabs)), deadline))


def _find(session: Session, shape: SlabShape, pages: UInt64, until: float) -> Slabs:
    """The slabs on these pages, each once."""
    found = [Slabs(*[np.empty(0, np.uint64)] * 5)]
    for part in spread(-(-len(pages) // _PAGES)).tolist():
        if time.monotonic() > until:
            break
        some = pages[_PAGES * part : _PAGES * (part + 1)]
        found.append(find_slabs(session.kernel_memory, session.shape, shape, session.vmemmap, some))
    slabs = Slabs(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
    return slabs.take(np.unique(slabs.struct, return_index=True)[1])


def _by_cache(session: Session, shape: SlabShape, slabs: Slabs) -> Iterator[_OfCache]:
    """The slabs of each cache whose lists can be read; the objects of others stay unknown."""
    percpu = session.percpu()
    for address in np.unique(slabs.cache).tolist():
        cache = session.caches.now_at(address)
        if cache is None:
            continue
        try:
            reader = reader_of(session.walk, session.kernel_memory, shape, percpu, cache)
        except ValueError:
            continue
        yield _OfCache(reader, slabs.take(slabs.cache == np.uint64(address)))


class _OfCache:
    """The slabs of one cache that were not read yet, in the order of reading."""

    def __init__(self, reader: InUse, slabs: Slabs) -> None:
        self._reader, self._slabs = reader, slabs.take(_order(len(slabs.struct)))
        self._read = 0

    def __len__(self) -> int:
        return max(len(self._slabs.struct) - self._read, 0)

    def read(self, until: float) -> Iterator[SlabRow]:
        """Read slabs until then."""
        while len(self) and time.monotonic() < until:
            some = self._slabs.take(slice(self._read, self._read + _GROUP))
            self._read += _GROUP
            started_ns = time.monotonic_ns()
            for batch in self._reader.batches(some, lambda: True, lists_only=True):
                yield from self._rows(started_ns, batch)

    def _rows(self, ts_ns: int, batch: Batch) -> Iterator[SlabRow]:
        identity, stride = self._reader.cache.identity, batch.stride
        rows = np.flatnonzero(batch.known)
        firsts = (batch.slabs.memory[rows] + np.uint64(batch.pad)).tolist()
        objects = batch.slabs.objects[rows]
        is_free = ~batch.in_use[rows] & (np.arange(batch.in_use.shape[1]) < objects[:, None])
        bits = np.packbits(is_free, axis=1, bitorder="little")
        for first, count, free in zip(firsts, objects.tolist(), bits, strict=True):
            yield SlabRow(ts_ns, first, identity, stride, count, free[: -(-count // 8)].tobytes())


def _order(slabs: int) -> NDArray[np.intp]:
    """The order in which slabs (by address) are read: neighbours together, shape (slabs,)."""
    together = spread(-(-slabs // _NEIGHBOURS))
    order = (together[:, None] * _NEIGHBOURS + np.arange(_NEIGHBOURS)).ravel()
    return order[order < slabs]
