# SPDX-License-Identifier: Apache-2.0
"""What a Pairer gives back for every chunk of events it has paired: completed lifetimes first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slabtrace.trace.format.batch import EventBatch

Positions: TypeAlias = NDArray[np.intp]


class How(IntEnum):
    """How a lifetime ended."""

    FREED = 1  # its free was seen
    INFERRED = 2  # its address was allocated again: a free since its allocation was missed
    DUPLICATE = 3  # not an object: one allocation that was recorded twice, the second counts
    PAGE_END = 4  # its slab was given back: a free since its allocation was missed
    FOUND_FREE = 5  # its slab held it free at the end of the recording: likewise


class Strays(NamedTuple):
    """Frees of nothing live, as positions."""

    old_frees: Positions  # of objects older than the recording
    second_frees: Positions  # of what was freed already: double, or an allocation was missed
    duplicate_frees: Positions  # recorded twice
    completions: Positions  # of a kfree_rcu, by which the object was free for its users already


@dataclass
class Paired:
    """A chunk of n events, and what became of them.

    `events` holds what was carried over from before the chunk (live allocations, and frees by
    kfree_rcu that are not complete), then the chunk's own from position `begin` on; all other
    positions are positions in it.
    """

    events: EventBatch
    begin: int
    site: Positions  # events.site as an index
    free: NDArray[np.bool_]  # whether events are no allocations
    order: Positions | None  # of the chunk's events in time, frees first; None: as they are
    alloc: Positions  # allocation of each completed lifetime, shape (m,)
    end: Positions  # what ended it: a free, the next allocation of the address, a page's end, shape (m,)
    how: NDArray[np.uint8]  # How, shape (m,)
    # as Strays:
    old_frees: Positions
    second_frees: Positions
    duplicate_frees: Positions
    completions: Positions

    @cached_property
    def allocs(self) -> Positions:
        """The chunk's own allocations."""
        return np.flatnonzero(~self.free[self.own]) + self.begin

    @cached_property
    def ended_site(self) -> Positions:
        """Site of the allocation of each completed lifetime, shape (m,)."""
        return self.site.take(self.alloc)

    @property
    def own(self) -> slice:
        """The chunk's own events, without the objects live before."""
        return slice(self.begin, None)

    def ended(self, how: How) -> Positions:
        """Positions in `alloc` and `end` of the lifetimes that ended as `how`."""
        return np.flatnonzero(self.how == how)
