# SPDX-License-Identifier: Apache-2.0
"""Where objects can begin in a slab, and so which freed addresses are no object's.

A slab of 2^k pages lies at a multiple of its size; its objects follow one another at multiples of
the cache's `size`, the first after `red_left_pad` bytes (only a debugged cache has any).  k is the
cache's usual order, or the least that holds one object where memory was short (mm/slub.c,
allocate_slab); an address counts as a start if it is one by either.  A large kmalloc begins with a
page.  The kernel's own freed addresses fit in 5,015,660 of 5,015,660 cases (KERNEL-FACTS 6).

This is arithmetic on what the programs read while the free happened (the owner of the page) and on
what never changes (the cache's layout).  It says how far into which object an address lies; whether the
free was invalid it decides only where the programs did not (bpf/object_start.h): of bulk frees, and
in traces of older versions.  Whether the page was KFENCE's, where objects lie anywhere, it cannot know.
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

NO_LAYOUT = np.int64(-1)  # the cache, or its layout, is not known
LARGEST_ORDER = 10  # of a large kmalloc (MAX_PAGE_ORDER)


class Shape(NamedTuple):
    """What a cache's layout follows from: bytes from one object to the next, the usual order of its
    slabs, and bytes before each object."""

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
    """The layout of every site's cache.  `shapes`: by address; those missing are not known."""

    def __init__(self, shapes: Mapping[int, Shape], sites: Sites, page_size: int) -> None:
        found = [shapes.get(cache, NO_SHAPE) for cache in sites["cache"].tolist()]
        self._page = page_size
        self._size, usual, self._pad = np.array(found, np.int64).reshape(-1, len(NO_SHAPE)).T
        pages = np.maximum(-(-self._size // page_size), 1)
        least = np.ceil(np.log2(pages)).astype(np.int64)
        self._slab_bytes = tuple(page_size << order for order in (usual, least))
        self.large: NDArray[np.bool_] = (sites["flags"] & np.uint8(Flag.LARGE)) != 0

    def into(self, frees: EventBatch) -> NDArray[np.int64]:
        """How many bytes into an object each freed address lies, shape (n,): 0 at its start.

        By the slab's usual order, if it is a start by neither.  NO_LAYOUT where the layout is not known.
        """
        by_usual, by_least = (self._into(frees, slab_bytes) for slab_bytes in self._slab_bytes)
        into: NDArray[np.int64] = np.where(by_least == 0, 0, by_usual)
        page: NDArray[np.int64] = (frees.ptr % np.uint64(self._page)).astype(np.int64)
        return np.where(self.large[frees.site], page, into)

    def starts(self, free: EventBatch) -> list[int]:
        """Addresses where the object that a single free lies in may begin, the likeliest first."""
        ptr, site = int(free.ptr[0]), int(free.site[0])
        if self.large[site]:
            # its size is a power of two, and it lies at a multiple of that
            return [ptr & -(self._page << order) for order in range(LARGEST_ORDER + 1)]
        return [ptr - int(self._into(free, slab_bytes)[0]) for slab_bytes in self._slab_bytes]

    def _into(self, frees: EventBatch, slab_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
        site = frees.site
        size, whole = self._size[site], slab_bytes[site]
        within = (frees.ptr & (whole - 1).astype(np.uint64)).astype(np.int64) - self._pad[site]
        stride = np.maximum(size, 1)
        into = np.where(
            (within < 0) | (within // stride >= whole // stride), np.maximum(within, 1), within % stride
        )
        return np.where(size == 0, NO_LAYOUT, into)
