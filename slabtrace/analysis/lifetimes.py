# SPDX-License-Identifier: Apache-2.0
"""What a Pairer gives back for every chunk of events it has paired: completed lifetimes first."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slabtrace.trace.batch import EventBatch

Positions: TypeAlias = NDArray[np.intp]


class How(IntEnum):
    """How a lifetime ended."""

    FREED = 1  # its free was seen
    INFERRED = 2  # its address was allocated again: a free since its allocation was missed
    DUPLICATE = 3  # not an object: one allocation that was recorded twice, the second counts


@dataclass
class Paired:
    """A chunk of n events, and what became of them.

    `events` holds the allocations that were live before the chunk, then the chunk's own from
    position `begin` on; all other positions are positions in it.
    """

    events: EventBatch
    begin: int
    site: Positions  # events.site as an index
    free: NDArray[np.bool_]  # whether events are frees
    order: Positions | None  # of the chunk's events in time, frees first; None: as they are
    alloc: Positions  # allocation of each completed lifetime, shape (m,)
    end: Positions  # what ended it: a free, or the next allocation of the address, shape (m,)
    how: NDArray[np.uint8]  # How, shape (m,)
    old_frees: Positions  # frees of objects older than the recording
    second_frees: Positions  # frees of what was freed already: double, or an allocation was missed
    duplicate_frees: Positions  # frees recorded twice

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
