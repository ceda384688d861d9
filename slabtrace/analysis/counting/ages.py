# SPDX-License-Identifier: Apache-2.0
"""How long objects lived, by the site that allocated them: the data for the leak classes.

All lifetimes are counted by octaves.  Of lifetimes of at least a horizon (an age from which on an object may
be called old) it also counts how far beyond it they went, and at which site the object was freed.  Only
frees that were seen count there: when a missed free happened is not known.

Example: a recording of 64 s has the horizons 4.3, 8.6, 17.2 s.  An object that was freed 10 s old counts in
octave 33 of `lived`, and beyond 4.3 s (by 5.7 s) and 8.6 s (by 1.4 s).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.freeing.releases import NOWHERE, Releases
from slabtrace.analysis.pairing.paired import How, Paired, Positions
from slabtrace.trace.format.batch import EventBatch

OCTAVES = 48  # lifetimes up to 2^48 ns, 78 hours; longer ones count among the longest
FLOAT_BITS, FLOAT_BIAS = np.int64(52), np.int64(1023)  # IEEE 754 binary64: the exponent is log2
LEAST_HORIZON_NS = 1 << 30  # RCU, deferred closes and workqueues free up to a second late
SMALLEST_SHARE, LARGEST_SHARE = 1 / 16, 1 / 2  # of the recording: limits of a horizon
SITE_BITS = 32  # of a key: site of the allocation | site of the free


class Choice(Protocol):
    """Selects allocations."""

    def mask(self, events: EventBatch, among: Positions) -> NDArray[np.bool_]:
        """Whether each of the allocations at the positions `among` is selected, shape (len(among),)."""


def horizons(length_ns: int, least_ns: int = 0, shortest_ns: int = LEAST_HORIZON_NS) -> Counts:
    """The ages (ns, ascending, shape (j,)) from which on objects may be old in a recording of this length.

    They are powers of two from a 16th of the recording to half of it.  `least_ns`: the least age that is of
    interest; then ages beyond it are tried in the same way.  `shortest_ns`: of the powers of two.
    """
    shortest = max(LEAST_HORIZON_NS, shortest_ns, SMALLEST_SHARE * (length_ns - least_ns))
    longest = LARGEST_SHARE * (length_ns - least_ns)
    first, last = int(np.ceil(np.log2(shortest))), int(np.floor(np.log2(max(longest, 1))))
    beyond = [1 << octave for octave in range(first, min(last, OCTAVES - 1) + 1)]
    if least_ns >= LEAST_HORIZON_NS:
        beyond = [least_ns, *(least_ns + each for each in beyond)]
    return np.array([each for each in beyond if each < length_ns], np.int64)


def least_horizon_ns(length_ns: int) -> int:
    """No horizon of a recording that is at least so long is shorter: a power of two."""
    return 1 << int(np.ceil(np.log2(max(LEAST_HORIZON_NS, SMALLEST_SHARE * length_ns))))


def octaves(lived: NDArray[np.int64]) -> Counts:
    """The octave of each lifetime (ns), shape (n,): k for 2^k to less than 2^(k + 1), OCTAVES - 1 at most."""
    octave = np.maximum(lived, 1).astype(np.float64).view(np.int64)
    octave >>= FLOAT_BITS
    octave -= FLOAT_BIAS
    return np.minimum(octave, OCTAVES - 1, out=octave)


class Old(NamedTuple):
    """Objects freed at an age of at least LEAST_HORIZON_NS whose free was seen, each of shape (p,).

    `site` (of the allocation), `freed_at` (site of the free), `octave`, `objects`, `lived_ns` (the sum).
    """

    site: Positions
    freed_at: Positions
    octave: Positions
    objects: Counts
    lived_ns: NDArray[np.float64]


class Ages:
    """Lifetimes of the objects allocated from `begin_ns` to `end_ns`, at s sites.

    `lived`, shape (s, OCTAVES): completed lifetimes, the free seen or inferred, by octave k: from 2^k ns to
    less than 2^(k + 1) ns.  `horizons_ns`, shape (j,).  Of lifetimes whose free was seen: `died`, shape
    (s, j), those of at least each horizon; `beyond_ns`, shape (s, j), the sum of what they lived beyond it.
    `own_freed`, shape (s,): those beyond the first horizon that the task freed that had allocated them.
    `least_ns`: the least age of the objects asked for; `survived_ns`: younger ones were only counted.
    `freed_at`: how many of the old ones that were allocated at a site were freed at another: see `pairs`.
    `releases`: counts the same of all that were seen freed, old or not; None: that is not asked for.
    """

    def __init__(
        self,
        sites: int,
        begin_ns: int,
        end_ns: int,
        choice: Choice | None = None,
        least_ns: int = 0,
        survived_ns: int = 0,
        releases: Releases | None = None,
    ) -> None:
        self.begin_ns, self.end_ns = begin_ns, max(end_ns, begin_ns + 1)
        self.horizons_ns = horizons(self.end_ns - begin_ns, least_ns, survived_ns)
        self.lived: Counts = np.zeros((sites, OCTAVES), np.int64)
        self.died: Counts = np.zeros((sites, len(self.horizons_ns)), np.int64)
        self.beyond_ns: NDArray[np.float64] = np.zeros(self.died.shape)
        self.own_freed: Counts = np.zeros(sites, np.int64)
        self.releases = releases
        self._choice = choice
        self._pairs: dict[int, int] = {}

    @property
    def length_ns(self) -> int:
        """How long the time is that is judged."""
        return self.end_ns - self.begin_ns

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        alloc, end, site, how = paired.alloc, paired.end, paired.ended_site, paired.how
        if self._choice is not None:
            chosen = np.flatnonzero(self._choice.mask(paired.events, alloc))
            alloc, end, site, how = alloc[chosen], end[chosen], site[chosen], how[chosen]
        ts_ns = paired.events.ts_ns
        ended_ns = ts_ns.take(end)
        lived = ended_ns - ts_ns.take(alloc)
        count_octaves(self.lived, site, lived, np.flatnonzero(how == How.DUPLICATE))
        if len(self.horizons_ns):
            old = np.flatnonzero(lived >= self.horizons_ns[0])
            old = old[how[old] == How.FREED]
            self._count_old(site[old], lived[old], paired.site[end[old]])
            tid = paired.events.tid
            itself = old[tid[alloc[old]] == tid[end[old]]]
            np.add.at(self.own_freed, site[itself], 1)
        if self.releases is not None:
            self._count_releases(how, site, paired.site.take(end), ended_ns, lived)

    def take(self, lived: Counts, before: Old) -> None:
        """Take what was counted before (carried/deaths.py); `lived`, shape (s, OCTAVES).

        The horizons must be powers of two, as they are where no `least_ns` was asked for.
        """
        self.lived += lived
        if not len(self.horizons_ns):
            return
        for at, horizon_ns in enumerate(self.horizons_ns.tolist()):
            old = np.flatnonzero(before.octave >= horizon_ns.bit_length() - 1)
            objects = before.objects[old]
            np.add.at(self.died[:, at], before.site[old], objects)
            beyond_ns = before.lived_ns[old] - objects * float(horizon_ns)
            np.add.at(self.beyond_ns[:, at], before.site[old], beyond_ns)
        old = np.flatnonzero(before.octave >= int(self.horizons_ns[0]).bit_length() - 1)
        keys, which = np.unique((before.site[old] << SITE_BITS) | before.freed_at[old], return_inverse=True)
        numbers = np.zeros(len(keys), np.int64)
        np.add.at(numbers, which, before.objects[old])
        self.add_pairs(dict(zip(keys.tolist(), numbers.tolist(), strict=True)))

    def pairs(self) -> tuple[Positions, Positions, Counts]:
        """(site of the allocation, site of the free, number) of old objects, each of shape (p,)."""
        keys = np.fromiter(self._pairs.keys(), np.int64, len(self._pairs))
        numbers = np.fromiter(self._pairs.values(), np.int64, len(self._pairs))
        return (keys >> SITE_BITS).astype(np.intp), (keys & (1 << SITE_BITS) - 1).astype(np.intp), numbers

    def add_pairs(self, pairs: Mapping[int, int]) -> None:
        """Take numbers of old objects, by key: site of the allocation << SITE_BITS | site of the free."""
        for key, number in pairs.items():
            self._pairs[key] = self._pairs.get(key, 0) + number

    def _count_releases(
        self, how: NDArray[np.uint8], site: Positions, freed_at: Positions, *times: NDArray[np.int64]
    ) -> None:
        """Give n lifetimes to `releases`; changes `freed_at`: those whose free was missed were freed nowhere.

        `times`: the end and the length of each.
        """
        assert self.releases is not None  # noqa: S101  (for mypy)
        other = np.flatnonzero(how != How.FREED)
        freed_at[other] = NOWHERE
        twice = other[how[other] == How.DUPLICATE]
        columns = site, freed_at, *times
        if len(twice):
            columns = tuple(np.delete(each, twice) for each in columns)
        self.releases.add(*columns)

    def _count_old(self, site: Positions, lived: NDArray[np.int64], freed_at: Positions) -> None:
        if not len(site):
            return
        for at, horizon_ns in enumerate(self.horizons_ns.tolist()):
            beyond = np.flatnonzero(lived >= horizon_ns)
            np.add.at(self.died[:, at], site[beyond], 1)
            np.add.at(self.beyond_ns[:, at], site[beyond], lived[beyond] - float(horizon_ns))
        keys, numbers = np.unique((site << SITE_BITS) | freed_at, return_counts=True)
        self.add_pairs(dict(zip(keys.tolist(), numbers.tolist(), strict=True)))


def count_octaves(counts: Counts, site: Positions, lived: NDArray[np.int64], twice: Positions) -> None:
    """Add lifetimes to `counts`, shape (s, OCTAVES), but those at `twice`: second records of an event."""
    if not len(site):
        return
    cell = octaves(lived)
    cell += site * OCTAVES
    flat = counts.reshape(-1)
    if len(flat) <= 8 * len(cell):
        flat += np.bincount(cell, minlength=len(flat))
    else:
        np.add.at(flat, cell, 1)
    np.subtract.at(flat, cell[twice], 1)
