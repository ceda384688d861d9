# SPDX-License-Identifier: Apache-2.0
"""What a mismatch may claim: how many events it would take, missed by the recording, to explain it away.

double-free: the address was freed twice with no allocation between.  One allocation missed between the
two frees would explain it, so as many events as were lost since the first free may (losses.py: at most
that many), and any number where a path of allocations is not watched, where the recording left out
allocations on request, or where files are damaged (of a recorder that was killed: after it last kept
its books).  Paths of frees do not matter: both were seen.
Where the allocation itself followed one whose free was not seen, or (before 6.1) kmem_cache_free is
traced so late that it may be taken for the next object's, nothing is claimed.

wrong-cache-free: told by the allocator's own complaint, it is exact.  Told by the caches that an
allocation and the free of its address name, a free and an allocation missed between would explain it.

invalid-free: the address is no object's start in a slab of its cache.  No missed event explains that.
It is exact if the programs judged so while it was freed (bpf/object_start.h).  Where arithmetic judged
afterwards, of bulk frees and in traces of older versions, it is exact if the object around it was seen,
which proves the layout of that very slab, or if the machine's KFENCE is off, whose objects lie
anywhere in a page; else unprovable.
"""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.trust.confidence import BOUNDED, EXACT, FREES, NO_BOUND, UNPROVABLE, filtered
from slabtrace.analysis.trust.losses import Losses
from slabtrace.trace.manifest import Manifest

FOREVER = 2**63 - 1  # ns


def confidence(maybe_missed: int) -> str:
    """In a word, what so many events missed leave of a finding."""
    if maybe_missed == NO_BOUND:
        return UNPROVABLE
    return BOUNDED if maybe_missed else EXACT


class MismatchProof:
    """Answers with the most events missed that could explain a finding: 0, a bound, or NO_BOUND."""

    def __init__(self, manifest: Manifest, losses: Losses, known_until_ns: int = FOREVER) -> None:
        unwatched = {path.path for path in manifest.coverage.unattached}
        open_ended = filtered(manifest)
        self._known_until_ns = known_until_ns
        self._losses = losses
        self._allocs_unseen = open_ended or bool(unwatched - FREES)
        self._any_unseen = open_ended or bool(unwatched)
        self._kfence_off = manifest.host.kfence is False

    def double(self, first_free_ns: int, second_free_ns: int, clear: bool) -> int:
        """Of two frees at these times; `clear`: see evidence.History.before."""
        unseen = self._allocs_unseen or second_free_ns > self._known_until_ns
        return int(NO_BOUND) if unseen or not clear else self._since(first_free_ns)

    def wrong_cache(self, alloc_ns: int, free_ns: int, complained: bool) -> int:
        """Of a free that names another cache than the allocation at `alloc_ns`, or was `complained` of."""
        if complained:
            return 0
        unseen = self._any_unseen or free_ns > self._known_until_ns
        return int(NO_BOUND) if unseen else self._since(alloc_ns)

    def invalid(self, judged: bool, object_seen: bool) -> int:
        """Of a free of no object's start, `judged` so meanwhile; `object_seen`: the object around it was."""
        return 0 if judged or object_seen or self._kfence_off else int(NO_BOUND)

    def _since(self, ts_ns: int) -> int:
        return int(self._losses.since(np.array([ts_ns]))[0])
