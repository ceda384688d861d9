# SPDX-License-Identifier: Apache-2.0
"""Two records of one event, and how they are told from two events.

A large kmalloc fires its tracepoint twice on some kernels (KERNEL-FACTS 3: same address, task
and size, microseconds apart): the second, with the caller's call site, counts.  An event nested
between a program and its twin may be recorded by both (KERNEL-FACTS 5): the second bears
Flag.RECOVERED and follows at its address with the same kind, call site, CPU and task.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.sites import Sites
from slabtrace.trace.batch import EventBatch, concatenate
from slabtrace.trace.schema import Flag

TWICE_NS = 10_000  # the most that may lie between two records of one event


def same_event(sites: Sites, first: EventBatch, second: EventBatch) -> NDArray[np.bool_]:
    """Whether `second[i]` records the event that `first[i]` did, shape (n,).

    Both are allocations or both frees of one address, `second` the next thing seen there.
    """
    close: NDArray[np.bool_] = (second.ts_ns - first.ts_ns < TWICE_NS) & (first.tid == second.tid)
    if not close.any():
        return close
    a, b = first.site, second.site
    flags = sites["flags"]
    large = (flags[a] & flags[b] & np.uint8(Flag.LARGE)) != 0
    large &= ~sites.free[a] & (sites["bytes_req"][a] == sites["bytes_req"][b])
    twin = (flags[b] & np.uint8(Flag.RECOVERED)) != 0
    twin &= (sites["kind"][a] == sites["kind"][b]) & (sites["call_site"][a] == sites["call_site"][b])
    twin &= first.cpu == second.cpu
    close &= large | twin
    return close


class RecentFrees:
    """The last frees of a chunk, for those of the next that may be the same event."""

    def __init__(self) -> None:
        self._frees: EventBatch | None = None

    def keep(self, events: EventBatch, free: NDArray[np.bool_]) -> None:
        """Keep the frees so late in `events` that the next chunk may record them again."""
        since = events.ts_ns[-1] - TWICE_NS
        start = int(np.searchsorted(events.ts_ns, since))
        late = events.take(np.flatnonzero(free[start:]) + start)
        if self._frees is not None and start == 0:  # a short chunk: what was kept may still be recent
            late = concatenate([self._frees.take(self._frees.ts_ns >= since), late])
        newest_first = late.take(slice(None, None, -1))
        _, newest = np.unique(newest_first.ptr, return_index=True)
        self._frees = newest_first.take(newest)

    def recorded_twice(self, sites: Sites, frees: EventBatch) -> NDArray[np.bool_]:
        """Which of `frees`, the first events of a chunk at their addresses, were kept already."""
        twice = np.zeros(frees.size, np.bool_)
        if self._frees is None or not self._frees.size or not frees.size:
            return twice
        place = np.searchsorted(self._frees.ptr, frees.ptr)
        place[place == self._frees.size] = 0
        known = np.flatnonzero(self._frees.ptr[place] == frees.ptr)
        twice[known] = same_event(sites, self._frees.take(place[known]), frees.take(known))
        return twice
