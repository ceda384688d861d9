# SPDX-License-Identifier: Apache-2.0
"""Frees of objects that are older than the recording, one by one: what balances the new ones that stay.

Only those later than the least horizon are of interest: an object that is freed before may have been young.
There are at most as many as there were objects when the recording began.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.pairing.paired import How, Paired, Positions

ANY_TASK = np.uint32(0xFFFFFFFF)  # it is not known which


class OlderFrees:
    """`site` (of the free), `ts_ns` and `tid` of each, shape (n,), sorted by the first two after `close`.

    `since_ns`: the time from which on frees count.  `begin_ns`: if a stretch within the recording is judged,
    its begin; recorded objects that were allocated before it are older, too.
    """

    def __init__(self, since_ns: int, begin_ns: int | None = None) -> None:
        self.since_ns, self._begin_ns = since_ns, begin_ns
        self._parts: list[tuple[Positions, NDArray[np.int64], NDArray[np.uint32]]] = []
        self.site: Positions = np.empty(0, np.intp)
        self.ts_ns: NDArray[np.int64] = np.empty(0, np.int64)
        self.tid: NDArray[np.uint32] = np.empty(0, np.uint32)

    def add(self, paired: Paired) -> None:
        """Take one chunk."""
        ts_ns = paired.events.ts_ns
        if not len(ts_ns) or ts_ns[-1] < self.since_ns:
            return
        frees = paired.old_frees
        if self._begin_ns is not None:
            before = (ts_ns.take(paired.alloc) < self._begin_ns) & (paired.how == How.FREED)
            frees = np.concatenate([frees, paired.end[before]])
        self.take(paired.site[frees], ts_ns[frees], paired.events.tid[frees])

    def take(self, site: Positions, ts_ns: NDArray[np.int64], tid: NDArray[np.uint32] | None = None) -> None:
        """Take frees of older objects, all of shape (m,); `tid` None: not known."""
        if tid is None:
            tid = np.full(len(site), ANY_TASK)
        late = np.flatnonzero(ts_ns >= self.since_ns)
        if len(late):
            self._parts.append((site[late], ts_ns[late], tid[late]))

    def since(self, since_ns: int) -> OlderFrees:
        """Those from a time on, closed.  Earlier ones are forgotten; more may be added here."""
        parts, self._parts, self.since_ns = self._parts, [], max(since_ns, self.since_ns)
        if parts:
            self.take(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        later = OlderFrees(self.since_ns)
        later._parts = list(self._parts)
        return later.close()

    def close(self) -> OlderFrees:
        """Sort them, once, after the last chunk."""
        if self._parts:
            site, ts_ns, tid = (np.concatenate(each) for each in zip(*self._parts, strict=True))
            order = np.lexsort((ts_ns, site))
            self.site, self.ts_ns, self.tid = site[order], ts_ns[order], tid[order]
            self._parts = []
        return self

    def without(self, sites: Positions) -> OlderFrees:
        """Those at other sites, closed."""
        kept, others = ~np.isin(self.site, sites), OlderFrees(self.since_ns)
        others.site, others.ts_ns, others.tid = self.site[kept], self.ts_ns[kept], self.tid[kept]
        return others

    def of_site(self, site: int, tid: int | None = None) -> NDArray[np.int64]:
        """The times of the frees at one site, ascending; `tid`: only those that this task may have made."""
        begin, end = np.searchsorted(self.site, [site, site + 1])
        times = self.ts_ns[begin:end]
        if tid is None:
            return times
        by = self.tid[begin:end]
        own: NDArray[np.int64] = times[(by == np.uint32(tid)) | (by == ANY_TASK)]
        return own
