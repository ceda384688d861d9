# SPDX-License-Identifier: Apache-2.0
"""What speaks against a growing finding being a leak, in words; a finding with a doubt is never a suspect.

Example: a build starts 40 compilers, which hold 3 open files each at the end.  120 files came, one after the
other, and none went.  But 40 processes hold them that began meanwhile and still run: no leak of the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.holders.classes import CACHED, LOST
from slabtrace.analysis.holders.inspected import Held, Inspected
from slabtrace.analysis.leaks.by_design import Design, Fate
from slabtrace.analysis.leaks.evidence import Tested
from slabtrace.analysis.leaks.group_tests import GroupTests
from slabtrace.analysis.leaks.owners import Owned
from slabtrace.analysis.names.cache_names import LARGE, is_other
from slabtrace.analysis.names.context import accidental
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.trust.confidence import Proof
from slabtrace.units import count

KERNEL_SHARE = 0.5  # of what a finding gained, that the kernel's own count of its cache must show
OF_MANY, NO_ONE = 0.8, 0.5  # the share of new processes together, at least; of any one of them, at most
LEAST_PROCESSES = 4
TIMES = 3  # so many times the life of an object a recording must be, to see that it is not freed
PINNED_SHARE = 0.9  # of the owners, to be sure that the kernel cannot give them up

WHICH_PROCESSES = (
    "see which processes these are, and whether they should run: `ps -eo pid,ppid,lstart,stat,args`"
)


@dataclass
class KernelCount:
    """The kernel's own count by name of the cache: its `change`, and how far that may be wrong (`slack`)."""

    change: dict[str, int] = field(default_factory=dict)
    slack: dict[str, int] = field(default_factory=dict)


@dataclass
class Holders:
    """The processes that allocated: `tgid`, shape (n,), of each live object, 0 where it is not known.

    `running`: those that began while recording and run at its end; `ended`: how many have ended, and were
    not collected by their parents.  None: not known.
    """

    tgid: NDArray[np.uint32]
    running: frozenset[int] | None = None
    ended: int = 0

    def new_processes(self, found: Owned) -> Counts:
        """How many new processes hold nearly all objects of each finding, none of them most; 0: not so."""
        number, running = len(found.owner), np.array(sorted(self.running or ()), np.int64)
        keys, objects = np.unique(found.finding * np.int64(1 << 32) + self.tgid, return_counts=True)
        finding, new = keys >> 32, np.isin(keys & 0xFFFFFFFF, running)
        total, of_new = np.bincount(finding, objects, number), np.bincount(finding, objects * new, number)
        most = np.zeros(number, np.int64)
        np.maximum.at(most, finding, objects)
        processes = np.bincount(finding[new], minlength=number)
        many = (of_new >= OF_MANY * total) & (most <= NO_ONE * total) & (processes >= LEAST_PROCESSES)
        return np.where(many, processes, 0)


@dataclass
class Known:
    """What else is known of a recording.

    `proof`: which objects may have been freed unseen.  `pinned`, shape (n,): of each live object, 1
    pinned, 0 not, -1 not known.  `holders`: the processes that allocated.  `kernel`: its own count.
    `older_unseen`: frees of older objects are missing (a filter by task or size, a series recorded by
    an old version).  `one_in`: of so many addresses one was recorded.  `length_s`: of the time that is
    judged.  `slabs_asked`: whether it was asked which objects are in use; if not (a live view), all
    count as in use where no bound is known, and no finding of them is a suspect.  `inspected`: what objects
    were at the end, and who held them; None: nothing was asked.  `settled`: recorded with --settle.
    """

    proof: Proof
    pinned: NDArray[np.int8]
    holders: Holders
    kernel: KernelCount
    older_unseen: bool = False
    one_in: int = 1
    length_s: float = 0.0
    slabs_asked: bool = True
    inspected: Inspected | None = None
    settled: bool = False


class Doubt(NamedTuple):
    """What speaks against a leak ("": nothing), and what would remove the doubt ("": a longer recording)."""

    says: str = ""
    next: str = ""


NONE = Doubt()
NOT_ASKED = Doubt(
    "some may have been freed on paths that cannot be traced: a recording asks the slabs at its end",
    "record this, and look at it with `slabtrace leaks`",
)


def doubts_of(
    owners: pd.DataFrame,
    found: Owned,
    of_owner: Positions,
    tests: GroupTests,
    designs: Sequence[Design | None],
    known: Known,
    alike: Sequence[Held] = (),
) -> list[Doubt]:
    """The doubt about each of f findings.

    `owners`: the rows of their owners (tables.outstanding); `of_owner`, shape (n,): the finding that each
    live object is an owner of, -1 for none; `designs`: what the owners are known to be part of; `alike`: what
    is known of owners of the same group, whatever findings these are of.
    """
    own = np.flatnonzero(of_owner >= 0)
    number = np.bincount(of_owner[own], minlength=len(found.owner))
    pinned = np.bincount(of_owner[own], known.pinned[own] == 1, len(found.owner))
    not_known = pinned < PINNED_SHARE * number
    processes = known.holders.new_processes(found)
    lost = [each.held == LOST for each in alike] or [False] * len(found.owner)  # of no process any more
    return [
        _first(
            NONE if lost[at] else of_process(designs[at], int(number[at]), known.holders),
            of_time(designs[at], known.length_s),
            of_many(0 if accidental(owner["context"]) else int(processes[at])),
            of_unseen(owner.get("alias") or owner["cache"], tests.results[at]),
            of_balance(bool(tests.in_cache[at])),
            of_memory(owner, bool(not_known[at]) and not known.settled),
            of_cached(alike[at] if alike else Held()),
            of_kernel(owner["cache"], tests.results[at], known),
        )
        for at, owner in enumerate(owners.to_dict("records"))
    ]


def of_process(design: Design | None, outstanding: int, holders: Holders) -> Doubt:
    """The doubt about what belongs to processes, unless these have ended."""
    if design is None or design.fate != Fate.PROCESS or 2 * holders.ended >= outstanding:
        return NONE
    return Doubt(design.reason, WHICH_PROCESSES)


def of_time(design: Design | None, length_s: float) -> Doubt:
    """The doubt about what the kernel frees after a time, in a recording that is not much longer."""
    if design is None or design.fate != Fate.TIMED or length_s >= TIMES * design.lives_s:
        return NONE
    return Doubt(design.reason, f"record for {TIMES * design.lives_s} s or more")


def of_many(processes: int) -> Doubt:
    """The doubt about what so many new processes hold; 0: none."""
    if not processes:
        return NONE
    says = f"{count(processes)} processes hold these that began meanwhile and still run"
    return Doubt(says, WHICH_PROCESSES)


def of_unseen(cache: str, result: Tested) -> Doubt:
    """The doubt where most of the old objects may have been freed without being seen.

    A large kmalloc has no slab that could be read.  slub_debug=U (Documentation/mm/slab.rst) counts objects
    in use by who allocated them, whatever is traced; such a cache is not merged.
    """
    if 2 * result.sure >= result.kept:
        return NONE
    says = "most of these may have been freed without being seen"
    if cache == LARGE:
        return Doubt(says, "a kernel with kmemleak lists those that nothing refers to: no slab can be asked")
    if is_other(cache):
        return Doubt(says, "record longer, with a larger --buffer: every free of such memory is traced")
    read = f"record with --cache '{cache}', so that there is time to read all its slabs at the end"
    return Doubt(says, f"{read}; or boot with slub_debug=U,{cache} and read its alloc_traces")


def of_memory(owner: dict[Any, Any], not_known: bool) -> Doubt:
    """The doubt about objects of which the kernel may be able to free some; `not_known`: which."""
    if not owner["reclaimable"] or not not_known:
        return NONE
    says = "the kernel may be able to free these when memory is short: the trace does not say"
    return Doubt(says, "record with --settle: what is left then is in use")


def of_cached(held: Held) -> Doubt:
    """The doubt about objects like others that were inspected, and are only cached."""
    if held.held != CACHED:
        return NONE
    says = f"the {count(held.inspected)} of these that were inspected are only cached: nobody refers to them"
    return Doubt(says, "record with --settle: what is left then is in use")


def of_balance(in_cache: bool) -> Doubt:
    """The doubt where the cache as a whole did not grow by as much."""
    if in_cache:
        return NONE
    return Doubt("as many older objects of this cache were freed, perhaps of this kind")  # record longer


def of_kernel(cache: str, result: Tested, known: Known) -> Doubt:
    """The doubt where the kernel's own count of the cache contradicts, or is needed and does not agree."""
    claim = KERNEL_SHARE * (result.kept - result.older) * known.one_in
    change = known.kernel.change.get(cache)
    if change is not None and change + known.kernel.slack.get(cache, 0) < claim:
        says = "by the kernel's own count this cache did not grow by so much"
        return Doubt(says, "compare with `slabtrace caches`; record longer")
    if known.older_unseen and (change is None or change < claim):
        says = "frees of older objects were not recorded, and the kernel's own count shows no such growth"
        return Doubt(says, "record longer, or without a filter by task or size")
    return NONE


def _first(*doubts: Doubt) -> Doubt:
    return next((each for each in doubts if each.says), NONE)
