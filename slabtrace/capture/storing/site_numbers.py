# SPDX-License-Identifier: Apache-2.0
"""From the numbers that the intake gives to sites to the numbers that are stored.

They are the same, until a slab cache ends and another one is made at its address.  A site of the intake has
the address of a cache; what is stored has the cache's identity (slabs/known_caches.py).  So from then on such
a site has a number for each cache that was there, and the time of an event decides which one it gets.

Example: site 7 allocates from the cache at 0xc40, which ends at 5 s; meanwhile 9 sites are known.

    event of site 7 at   stored as
    4.9 s                7, whose cache is 0xc40
    5.1 s                9, a new row with the cache 0xc41
"""

from __future__ import annotations

from bisect import insort
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slabtrace.capture.slabs.known_caches import identity_of
from slabtrace.trace.format.batch import UInt32

SiteRows = np.ndarray[Any, np.dtype[np.void]]


class SiteNumbers:
    """Takes the sites of the intake in order, and the ends of caches; `take_new` has the rows to store."""

    def __init__(self) -> None:
        self._rows: list[SiteRows] = []  # as the intake has them
        self._cache = np.zeros(0, np.uint64)  # of each site of the intake
        self._newest = np.zeros(0, np.uint32)  # its number for the newest cache at the address
        self._ends: dict[int, list[int]] = {}  # {address: when caches there ended, ns}
        self._numbers: dict[tuple[int, int], int] = {}  # {(site of the intake, caches before): stored number}
        self._count = 0
        self._new: list[SiteRows] = []

    def ended(self, ts_ns: int, address: int) -> None:
        """The cache at this address ended then."""
        if address not in self._ends:
            for site in np.flatnonzero(self._cache == np.uint64(address)).tolist():
                self._numbers[site, 0] = int(self._newest[site])
        insort(self._ends.setdefault(address, []), ts_ns)

    def add(self, rows: SiteRows) -> None:
        """The intake's next sites."""
        first, self._cache = len(self._cache), np.concatenate([self._cache, rows["cache"]])
        self._rows.append(rows)
        numbers = np.arange(self._count, self._count + len(rows), dtype=np.uint32)
        self._newest = np.concatenate([self._newest, numbers])
        self._count += len(rows)
        stored = rows.copy()
        if self._ends:
            for at, address in enumerate(rows["cache"].tolist()):
                if before := len(self._ends.get(address, [])):
                    stored["cache"][at] = identity_of(address, before)
                    self._numbers[first + at, before] = int(numbers[at])
        self._new.append(stored)

    def newest(self, site: UInt32) -> UInt32:
        """The stored numbers of sites for the cache that is at the address now, shape (n,)."""
        return self._newest[site]

    def of(self, site: UInt32, ts_ns: NDArray[np.int64]) -> UInt32:
        """The stored numbers of events of these sites at these times, shape (n,).

        Store what `take_new` returns first.
        """
        if not self._ends:
            return site
        stored = self._newest[site]
        ended = np.fromiter(self._ends, np.uint64, len(self._ends))
        doubtful = np.flatnonzero(np.isin(self._cache[site], ended))
        for one in np.unique(site[doubtful]).tolist():
            at = doubtful[site[doubtful] == one]
            ends = np.array(self._ends[int(self._cache[one])])
            before = np.searchsorted(ends, ts_ns[at], side="right")
            for number in np.unique(before).tolist():
                stored[at[before == number]] = self._number(one, number)
        return stored

    def _number(self, site: int, before: int) -> int:
        key = (site, before)
        if key not in self._numbers:
            row = self._row(site)
            row["cache"] = identity_of(int(self._cache[site]), before)
            self._numbers[key], self._count = self._count, self._count + 1
            self._new.append(row)
            if before == len(self._ends[int(self._cache[site])]):
                self._newest[site] = self._numbers[key]
        return self._numbers[key]

    def _row(self, site: int) -> SiteRows:
        """The row of a site, as the intake has it, shape (1,)."""
        for rows in self._rows:
            if site < len(rows):
                return rows[site : site + 1].copy()
            site -= len(rows)
        raise IndexError(site)

    def take_new(self) -> SiteRows | None:
        """Rows of the numbers given since the last call, in their order; None if there are none."""
        new, self._new = self._new, []
        return np.concatenate(new) if new else None
