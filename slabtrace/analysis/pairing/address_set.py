# SPDX-License-Identifier: Apache-2.0
"""A growing set of addresses: every address that the trace has seen freed, 8 bytes each.

The slab memory of the traced machine bounds its size; the length of the trace does not matter.
Nearly all additions are known already.  A table with the last address added at each hash value recognises
them: it may have forgotten an address, but it never claims one that was not added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Addresses = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash: 2^64 / golden ratio
FIRST_BITS, LAST_BITS = 14, 22  # size of the table: 128 KiB at first, 32 MiB at most


class AddressSet:
    """Sorted runs of addresses, the first by far the longest; an address may be in several runs."""

    def __init__(self) -> None:
        self._runs: list[Addresses] = [np.empty(0, np.uint64)]
        self._added = 0  # addresses in all runs but the first
        self._resize(FIRST_BITS)

    def __len__(self) -> int:
        self._merge()
        return len(self._runs[0])

    def contains(self, ptr: Addresses) -> NDArray[np.bool_]:
        """Whether each address is in the set, shape (n,); for few addresses at a time."""
        found = np.zeros(len(ptr), np.bool_)
        for run in self._runs if len(ptr) else ():
            place = np.searchsorted(run, ptr)
            inside = place < len(run)
            found[inside] |= run[place[inside]] == ptr[inside]
        return found

    def add(self, ptr: Addresses) -> None:
        """Add sorted addresses."""
        entry = self._entry(ptr)
        unknown = np.flatnonzero(self._last.take(entry) != ptr)
        new = ptr[unknown]
        self._last[entry[unknown]] = new
        if len(new):
            self._runs.append(new)
            self._added += len(new)
        if self._added > max(len(self._runs[0]), 1 << FIRST_BITS):
            self._merge()

    def _merge(self) -> None:
        """Merge all runs into one; the table grows with it."""
        every = np.sort(np.concatenate(self._runs))  # np.unique hashes: several times slower
        self._runs = [every[np.append(True, every[1:] != every[:-1])]] if len(every) else [every]
        self._added = 0
        bits = min((4 * len(self._runs[0])).bit_length(), LAST_BITS)
        if bits > self._bits:
            self._resize(bits)

    def _resize(self, bits: int) -> None:
        self._bits = bits
        self._last: Addresses = np.zeros(1 << bits, np.uint64)  # 0 is no object's address
        self._last[self._entry(self._runs[0])] = self._runs[0]

    def _entry(self, ptr: Addresses) -> NDArray[np.intp]:
        return ((ptr * GOLDEN) >> np.uint64(64 - self._bits)).view(np.intp)
