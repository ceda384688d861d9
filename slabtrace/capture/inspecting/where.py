# SPDX-License-Identifier: Apache-2.0
"""To which slab object an address belongs; many addresses at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.inspecting.memory import Bools
from slabtrace.capture.slabs.places import Slabs
from slabtrace.capture.slabs.walk import SlabCache
from slabtrace.trace.format.batch import Int64, UInt64


class Owners(NamedTuple):
    """Of n addresses: the object that has each, 0 for none, and its cache; shape (n,)."""

    object: UInt64
    cache: UInt64


class Where:
    """Finds objects by address among slabs.  It does not say whether an object is in use."""

    def __init__(self, slabs: Slabs, caches: Mapping[int, SlabCache]) -> None:
        self.renew(slabs, caches)

    def renew(self, slabs: Slabs, caches: Mapping[int, SlabCache]) -> None:
        """Take these slabs from now on.  Those of caches that are not known have no objects."""
        self.slabs, self._caches = slabs, caches
        known = np.array([*caches], np.uint64)
        order = np.argsort(known)
        addresses = known[order]
        values = [*caches.values()]
        pad = np.array([each.red_left_pad for each in values], np.uint64)[order]
        size = np.array([each.size for each in values], np.uint64)[order]
        at = np.searchsorted(addresses, slabs.cache)
        at = np.minimum(at, max(len(known) - 1, 0))
        right = addresses[at] == slabs.cache if len(known) else np.zeros(len(slabs.cache), np.bool_)
        self._first = slabs.memory + np.where(right, pad[at] if len(known) else 0, 0)
        self._stride = np.where(right, size[at] if len(known) else 1, 1)
        self._count = np.where(right, slabs.objects, 0).astype(np.uint64)
        self.unknown = slabs.take(~right)

    @property
    def length(self) -> Int64:
        """Bytes of each slab from its memory to the end of its last object, a multiple of 8, shape (n,)."""
        end = self._first + self._stride * self._count
        length: Int64 = -(-(end - self.slabs.memory).astype(np.int64) // 8) * 8
        return np.where(self._count > 0, length, 0)

    def slab(self, address: UInt64) -> NDArray[np.intp]:
        """The number of the slab that has each address; -1: none."""
        if not len(self._first):
            return np.full(len(address), -1, np.intp)
        at = np.searchsorted(self._first, address, "right") - 1
        inside = (at >= 0) & (address - self._first[at] < self._stride[at] * self._count[at])
        return np.where(inside, at, -1)

    def find(self, address: UInt64) -> Owners:
        """The object that each address is in."""
        at = self.slab(address)
        index = (address - self._first[at]) // self._stride[at] if len(self._first) else address
        start = np.where(at >= 0, self._first[at] + index * self._stride[at], 0) if len(self._first) else 0
        cache = np.where(at >= 0, self.slabs.cache[at], 0) if len(self._first) else 0
        return Owners(
            np.broadcast_to(np.asarray(start, np.uint64), address.shape),
            np.broadcast_to(np.asarray(cache, np.uint64), address.shape),
        )

    def one(self, address: int) -> tuple[int, int]:
        """The object that has an address, and its cache; (0, 0): none."""
        at = int(np.searchsorted(self._first, np.uint64(address), "right")) - 1
        if at < 0:
            return 0, 0
        offset, stride = address - int(self._first[at]), int(self._stride[at])
        if offset >= stride * int(self._count[at]):
            return 0, 0
        return address - offset % stride, int(self.slabs.cache[at])

    def cache(self, address: int) -> SlabCache | None:
        """The cache of the object at an address."""
        return self._caches.get(self.one(address)[1])

    def begins(self, address: UInt64) -> Bools:
        """Where an object of a slab begins at the address."""
        found: Bools = (self.find(address).object == address) & (address != 0)
        return found
