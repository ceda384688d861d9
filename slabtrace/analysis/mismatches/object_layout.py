# SPDX-License-Identifier: Apache-2.0
"""Where objects can begin in a slab, and so which freed addresses are not the begin of an object.

A slab of 2^k pages lies at a multiple of its size.  Its objects follow one another at multiples of the
cache's `size`, the first after `red_left_pad` bytes (only debugged caches have any).  k is the cache's usual
order, or the least order that holds one object if memory was short (mm/slub.c, allocate_slab); an address is
a begin if it is one by either.  A large kmalloc begins with a page.
The programs decide whether a free is invalid while it happens (bpf/object_start.h).  This arithmetic decides
it only for bulk frees and for traces of older versions.  It cannot know pages of KFENCE, where objects may be
anywhere.

Example: objects of 96 bytes in slabs of one page, without padding.

    freed address   offset in the slab   into an object
    0x1000                           0                0
    0x10c0                         192                0   the third object
    0x10d0                         208               16   invalid: 16 bytes into the third object
    0x1fc0                        4032             4032   invalid: behind the last of the 42 objects
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.names.sites import Sites
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Flag
from slabtrace.trace.manifest import Host

NO_LAYOUT = np.int64(-1)  # instead of an offset: the cache or its layout is not known
LARGEST_ORDER = 10  # of a large kmalloc (MAX_PAGE_ORDER)


class Shape(NamedTuple):
    """A cache's layout: bytes from object to object, usual order of its slabs, bytes before an object."""

    size: int
    order: int
    red_left_pad: int


NO_SHAPE = Shape(0, 0, 0)


def recorded_shapes(caches: pa.Table, host: Host) -> dict[int, Shape]:
    """The shapes of the caches of a trace's caches.arrow, by address."""
    columns = (caches.column(name).to_pylist() for name in ("cache", "name", "size", "order"))
    return {
        cache: Shape(size, order, host.red_left_pad.get(name, 0))
        for cache, name, size, order in zip(*columns, strict=True)
    }


class ObjectLayout:
    """The layout of every site's cache.  `shapes`: by address of the cache; it may lack some.

    `extend` takes sites that were added since; `visited` counts the sites looked at so far.
    """

    def __init__(self, shapes: Mapping[int, Shape], sites: Sites, page_size: int) -> None:
        self._page = page_size
        self._row: dict[int, int] = {}  # of each cache, in _shapes
        self._shapes = np.empty((0, len(NO_SHAPE)), np.int64)
        self._cache = np.empty(0, np.intp)  # row of each site's cache
        self.large: NDArray[np.bool_] = np.empty(0, np.bool_)
        self.visited = 0
        self.extend(shapes, sites)

    def extend(self, shapes: Mapping[int, Shape], sites: Sites) -> None:
        """Take the sites after those that were taken; also the shapes of caches that were not known yet.

        The work grows with the number of new sites and of caches, not with that of all sites.
        """
        caches = sites["cache"][len(self._cache) :]
        self.large = np.append(self.large, (sites["flags"][len(self.large) :] & np.uint8(Flag.LARGE)) != 0)
        found, of_site = np.unique(caches, return_inverse=True)
        rows = [self._row.setdefault(cache, len(self._row)) for cache in found.tolist()]
        self._cache = np.append(self._cache, np.array(rows, np.intp)[of_site])
        self.visited += len(caches)
        known = [shapes.get(cache, NO_SHAPE) for cache in self._row]
        self._shapes = np.array(known, np.int64).reshape(-1, len(NO_SHAPE))

    def into(self, frees: EventBatch) -> NDArray[np.int64]:
        """How many bytes into an object each freed address lies, shape (n,): 0 at its start.

        By the usual order, if it is not a start by either.  NO_LAYOUT where the layout is not known.
        """
        by_usual, by_least = (self._into(frees, slab_bytes) for slab_bytes in self._slab_bytes(frees))
        into: NDArray[np.int64] = np.where(by_least == 0, 0, by_usual)
        page: NDArray[np.int64] = (frees.ptr % np.uint64(self._page)).astype(np.int64)
        return np.where(self.large[frees.site], page, into)

    def starts(self, free: EventBatch) -> list[int]:
        """Where the object around the address of a single free may begin, the likeliest first."""
        ptr, site = int(free.ptr[0]), int(free.site[0])
        if self.large[site]:
            # a large kmalloc is a power of two pages, at a multiple of its size
            return [ptr & -(self._page << order) for order in range(LARGEST_ORDER + 1)]
        return [ptr - int(self._into(free, slab_bytes)[0]) for slab_bytes in self._slab_bytes(free)]

    def _slab_bytes(self, frees: EventBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The size of each object's slab, of the usual order and of the least, shape (n,)."""
        size, usual, _ = self._shapes[self._cache[frees.site]].T
        pages = np.maximum(-(-size // self._page), 1)
        least = np.ceil(np.log2(pages)).astype(np.int64)
        return self._page << usual, self._page << least

    def _into(self, frees: EventBatch, whole: NDArray[np.int64]) -> NDArray[np.int64]:
        size, _, pad = self._shapes[self._cache[frees.site]].T
        within = (frees.ptr & (whole - 1).astype(np.uint64)).astype(np.int64) - pad
        stride = np.maximum(size, 1)
        into = np.where(
            (within < 0) | (within // stride >= whole // stride), np.maximum(within, 1), within % stride
        )
        return np.where(size == 0, NO_LAYOUT, into)
