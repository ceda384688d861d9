# SPDX-License-Identifier: Apache-2.0
"""How sure a mismatch is: how many missed events it would take to explain it without a bug.

double-free: one allocation missed between the two frees would explain it.  So it is sure if no event was lost
since the first free, and every path of allocations is traced.
wrong-cache-free: exact if the allocator itself complained.  Otherwise the caches named by an allocation and
by the free of its address differ; a free and an allocation missed in between would explain that.
invalid-free: no missed event explains it.  It is exact if the programs found it at the time of the free, or
if the object around the address was seen, or if KFENCE is off (its objects may be anywhere in a page).
The rules with their reasons: docs/analysis.md.

Example: address 0x10, freed at second 3 and again at second 5, with no allocation in between.

    what is known                                                     maybe_missed   confidence
    nothing lost, every path of allocations traced                               0   exact
    2 events lost in second 4                                                    2   bounded
    9 events lost in second 1 (counters are read up to a second late)            0   exact
    bulk allocations cannot be traced, or the recording was filtered             -   unprovable
"""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.trust.confidence import BOUNDED, EXACT, FREES, NO_BOUND, UNPROVABLE
from slabtrace.analysis.trust.filters import filtered
from slabtrace.analysis.trust.losses import Losses
from slabtrace.trace.manifest import Manifest

FOREVER = 2**63 - 1  # ns


def confidence(maybe_missed: int) -> str:
    """The confidence of a finding that `maybe_missed` missed events would explain, as JSON has it."""
    if maybe_missed == NO_BOUND:
        return UNPROVABLE
    return BOUNDED if maybe_missed else EXACT


class MismatchProof:
    """The number of missed events that could explain a finding, at most: 0, a bound, or NO_BOUND.

    `known_until_ns`: the files are damaged after this time, so any event may be missing.
    """

    def __init__(self, manifest: Manifest, losses: Losses, known_until_ns: int = FOREVER) -> None:
        untraced = {path.path for path in manifest.coverage.unattached}
        incomplete = filtered(manifest)
        self._known_until_ns = known_until_ns
        self._losses = losses
        self._allocs_unseen = incomplete or bool(untraced - FREES)
        self._any_unseen = incomplete or bool(untraced)
        self._kfence_off = manifest.host.kfence is False

    def double(self, first_free_ns: int, second_free_ns: int, clear: bool) -> int:
        """Of two frees at these times; NO_BOUND if not `clear` (see evidence.History.before)."""
        unseen = self._allocs_unseen or second_free_ns > self._known_until_ns
        return int(NO_BOUND) if unseen or not clear else self._since(first_free_ns)

    def wrong_cache(self, alloc_ns: int, free_ns: int, complained: bool) -> int:
        """Of a free that names another cache than its allocation, or that the kernel `complained` about."""
        if complained:
            return 0
        unseen = self._any_unseen or free_ns > self._known_until_ns
        return int(NO_BOUND) if unseen else self._since(alloc_ns)

    def invalid(self, judged: bool, object_seen: bool) -> int:
        """Of a free at an address where no object begins.

        `judged`: the programs found it.  `object_seen`: the allocation of the object around it was seen.
        """
        return 0 if judged or object_seen or self._kfence_off else int(NO_BOUND)

    def _since(self, ts_ns: int) -> int:
        return int(self._losses.since(np.array([ts_ns]))[0])
