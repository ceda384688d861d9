# SPDX-License-Identifier: Apache-2.0
"""How sure a mismatch is: how many missed events would explain it without a bug, and why they can be missing.

double-free: one allocation missed between the two frees would explain it.  So it is sure if no allocation can
be among the events lost between them, and every path of allocations is traced.
wrong-cache-free: exact if the allocator itself complained.  Otherwise the caches named by an allocation and
by the free of its address differ; a free and an allocation missed in between would explain that.
invalid-free: no missed event explains it.  It is exact if the programs found it at the time of the free, or
if the object around the address was seen, or if KFENCE is off (its objects may be anywhere in a page).  A
kmem_cache_free that is traced after the free needs the object around it.
Whether a finding is listed: support.py.  The rules with their reasons: docs/analysis.md.

Example: address 0x10, freed at second 3 and again at second 5, with no allocation in between.

    what is known                                                     maybe_missed   confidence
    nothing lost, every path of allocations traced                               0   exact
    2 events lost in second 4                                                    2   bounded
    9 events lost in second 1 (counters are read up to a second late)            0   exact
    9 events lost in second 7, or frees alone in second 4                        0   exact
    bulk allocations cannot be traced, or the recording was filtered             -   unprovable
"""

from __future__ import annotations

from typing import NamedTuple

from slabtrace.analysis.trust.completeness import CALLED
from slabtrace.analysis.trust.confidence import BOUNDED, EXACT, FREES, NO_BOUND, UNPROVABLE
from slabtrace.analysis.trust.filters import filtered
from slabtrace.analysis.trust.losses import Losses, Of
from slabtrace.trace.format.schema import Kind
from slabtrace.trace.manifest import Manifest

FOREVER = 2**63 - 1  # ns
# Options by which a recording leaves out allocations of an address whose frees it has.  --cache does not: of
# the caches it chooses every event is there.  --sample does not: it has all events of an address, or none.
HIDE_ALLOCATIONS = ("min_size", "max_size", "pid", "comm", "cgroup", "budget")

# What could explain a finding: each follows "that" and is followed by "could explain".
DAMAGED = "events missing in damaged or unfinished files"
FILTERED = "events left out on request"
LOST = "lost events"
REUSED = "an allocation missed like a free of the same address before"
KFENCE = "objects of KFENCE, which may begin anywhere,"
GIVEN_BACK = "its slab being given back, and used by another cache, before the kernel reported the free"


class Explanation(NamedTuple):
    """What would explain a finding without a bug.

    `missed`: so many missed events, at most; 0: nothing would; NO_BOUND: any number.  `cause`: why events
    can be missing, in words; empty if `missed` is 0.
    """

    missed: int
    cause: str = ""


NOTHING = Explanation(0)


def confidence(maybe_missed: int) -> str:
    """The confidence of a finding that `maybe_missed` missed events would explain, as JSON has it."""
    if maybe_missed == NO_BOUND:
        return UNPROVABLE
    return BOUNDED if maybe_missed else EXACT


def lost(number: int) -> Explanation:
    """The explanation by so many lost events."""
    return Explanation(number, LOST) if number else NOTHING


def allocations_unseen(manifest: Manifest) -> str:
    """Why allocations of an object whose frees are seen can be missing, in words; empty if none can.

    Lost events can be missing all the same.
    """
    untraced = {path.path for path in manifest.coverage.unattached} - FREES
    return FILTERED if filtered(manifest, HIDE_ALLOCATIONS) else _untraced(untraced, "allocations")


class MismatchProof:
    """What could explain a finding.

    `known_until_ns`: the files are damaged after this time, so any event may be missing.
    """

    def __init__(self, manifest: Manifest, losses: Losses, known_until_ns: int = FOREVER) -> None:
        self._known_until_ns = known_until_ns
        self._losses = losses
        self._allocs_unseen = allocations_unseen(manifest)
        every = {path.path for path in manifest.coverage.unattached}
        self._any_unseen = FILTERED if filtered(manifest) else _untraced(every, "allocations and frees")
        self._kfence_off = manifest.host.kfence is False
        self._traced_after = manifest.coverage.free_traced_after

    def double(self, first_free_ns: int, second_free_ns: int, clear: bool) -> Explanation:
        """Of two frees at these times; `clear`: see evidence.History.before."""
        unseen = self._allocs_unseen or self._damage(second_free_ns) or ("" if clear else REUSED)
        if unseen:
            return Explanation(int(NO_BOUND), unseen)
        return lost(self.lost_allocations(first_free_ns, second_free_ns))

    def lost_allocations(self, begin_ns: int, end_ns: int) -> int:
        """Allocations that can be among the events lost between two times, at most."""
        return self._losses.between(begin_ns, end_ns, Of.ALLOCATIONS)

    def lost_events(self, begin_ns: int, end_ns: int) -> int:
        """Events lost between two times, at most."""
        return self._losses.between(begin_ns, end_ns)

    def wrong_cache(self, alloc_ns: int, free_ns: int, complained: bool) -> Explanation:
        """Of a free that names another cache than its allocation, or that the kernel `complained` about."""
        if complained:
            return NOTHING
        unseen = self._any_unseen or self._damage(free_ns)
        return Explanation(int(NO_BOUND), unseen) if unseen else lost(self.lost_events(alloc_ns, free_ns))

    def invalid(self, judged: bool, object_seen: bool, kind: int = Kind.KFREE) -> Explanation:
        """Of a free of this kind at an address where no object begins.

        `judged`: the programs found it.  `object_seen`: the allocation of the object around it was seen.
        Up to 6.0 kmem_cache_free is traced after the free (free_traced_after): what the programs look at
        then may no longer be the slab that the object was in.
        """
        if self._traced_after and kind == Kind.CACHE_FREE:
            return NOTHING if object_seen else Explanation(int(NO_BOUND), GIVEN_BACK)
        sure = judged or object_seen or self._kfence_off
        return NOTHING if sure else Explanation(int(NO_BOUND), KFENCE)

    def _damage(self, ts_ns: int) -> str:
        return DAMAGED if ts_ns > self._known_until_ns else ""


def _untraced(paths: set[str], what: str) -> str:
    """That some paths are not traced, in words; empty if there are none."""
    names = ", ".join(sorted(CALLED.get(path, path) for path in paths))
    return f"{what} on paths that cannot be traced on this kernel ({names})" if names else ""
