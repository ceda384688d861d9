# SPDX-License-Identifier: Apache-2.0
"""The result of pairing one chunk of events: completed lifetimes, and frees that match no allocation."""

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
    DUPLICATE = 3  # no lifetime: one allocation that was recorded twice; the second record counts
    PAGE_END = 4  # its slab was given back: a free since its allocation was missed
    FOUND_FREE = 5  # its slab listed it as free at the end of the recording: likewise


class Strays(NamedTuple):
    """Frees at addresses where no object was live, as positions."""

    old_frees: Positions  # of objects older than the recording
    second_frees: Positions  # of what was free already: double frees, or an allocation was missed
    duplicate_frees: Positions  # recorded twice
    completions: Positions  # second reports of a free, as after kfree_rcu (duplicates.COMPLETES)


@dataclass
class Paired:
    """A chunk of n events, and what they mean.

    `events`: first allocations that were live before the chunk (all that ended in it are among them), and the
    frees that may be completed (kfree_rcu); from position `begin` on the chunk's own events.  All positions
    are positions in it.
    """

    events: EventBatch
    begin: int
    site: Positions  # events.site as an index
    free: NDArray[np.bool_]  # whether each event is not an allocation
    order: Positions | None  # of the chunk's own events in time (order.time_order); None: as they are
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
        """The chunk's own events."""
        return slice(self.begin, None)

    def ended(self, how: How) -> Positions:
        """Positions in `alloc` and `end` of the lifetimes that ended as `how`."""
        return np.flatnonzero(self.how == how)
