# SPDX-License-Identifier: Apache-2.0
"""What this trace can vouch for: its losses, inferred frees, and the kernel's own count beside it."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.counting.recovered import recovered
from slabtrace.analysis.mismatches.proof import FOREVER
from slabtrace.analysis.opened.passes import Passes
from slabtrace.analysis.opened.recorded import Recorded
from slabtrace.analysis.trust.account import Account, take_account
from slabtrace.analysis.trust.confidence import Missed
from slabtrace.analysis.trust.losses import Losses
from slabtrace.trace.format.arrays import plain


class Vouched:
    """Made of a trace's side tables and of the summary of its events."""

    def __init__(self, recorded: Recorded, passes: Passes) -> None:
        self._recorded, self._passes = recorded, passes

    @cached_property
    def losses(self) -> Losses:
        """How many events are not in the trace, and since when."""
        summary, manifest = self._passes.summary, self._recorded.manifest
        return Losses(self._recorded.ledger, manifest, recovered(summary.sites, summary.counts, manifest))

    @property
    def damage(self) -> list[str]:
        """Sentences on what is missing or cut in any file.

        Damage is noticed when a file is read.  So what was not yet asked for is read here: else the first
        finding would be surer than the second.
        """
        recorded = self._recorded
        _ = self.losses, self.account, self.missed, recorded.lookup, recorded.marks
        return recorded.reader.damage

    @cached_property
    def account(self) -> Account:
        """Each cache's change as traced beside the kernel's own count."""
        return take_account(self._passes.summary, self._recorded.slabinfo, self._recorded.manifest.host)

    @cached_property
    def inferred(self) -> Counts:
        """Frees that were missed and inferred, by cache, shape (c,)."""
        return self._by_cache(self._passes.summary.counts.inferred)

    @cached_property
    def missed(self) -> Missed:
        """Frees and allocations by cache that nobody saw, those of earlier parts of a series included."""
        recorded, summary = self._recorded, self._passes.summary
        allocations = np.zeros(len(recorded.caches), np.int64)
        cache_of_site = recorded.sites["cache"].tolist(), recorded.caches.of_site.tolist()
        row = dict(zip(*cache_of_site, strict=True))
        for cache, count in summary.unseen_allocations.items():
            if cache in row:
                allocations[row[cache]] += count
        frees = self.inferred + self._by_cache(self._missed_by_earlier_parts())
        return Missed(frees, allocations, self._by_cache(summary.carried))

    @cached_property
    def known_until_ns(self) -> int:
        """Until when nothing of the recording is missing in the files: its end, if they are whole.

        Of a recorder that was killed, until its last once-a-second records: the ledger, then slabinfo.
        """
        if not self._recorded.reader.damage:
            return FOREVER
        times = [int(each.ts_ns[-1]) for each in self._recorded.slabinfo.values()]
        return max(times, default=0) if self._recorded.reader.only_cut else 0

    def _missed_by_earlier_parts(self) -> Counts:
        before = self._recorded.reader.carried("missed")
        earlier = np.zeros(len(self._recorded.sites), np.int64)
        site = plain(before.column("site"))
        known = site < len(earlier)  # sites.arrow may be cut
        np.add.at(earlier, site[known], plain(before.column("frees")).astype(np.int64)[known])
        return earlier

    def _by_cache(self, of_site: Counts) -> Counts:
        return by_group(self._recorded.caches.of_site, of_site, len(self._recorded.caches))
