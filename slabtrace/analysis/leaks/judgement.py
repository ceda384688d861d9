# SPDX-License-Identifier: Apache-2.0
"""From what a scan counted to findings with a class, and to groups that say which finding they belong to.

The steps: the evidence for each group by stack and its tests (group_tests.py, evidence.py); which groups
came one with one (owners.py); the class of each finding, by its owner (findings.py); its table
(table.py).  Groups by call site, module, process or cache have tests of their own for their rate, and the
class of the gravest finding that they hold objects of.  The method with its sources: docs/analysis.md.

Example: fixtures/slow-leak.slab.  In 24.5 s 48 objects leaked, one every 0.5 s; 4,800 others were freed.

    horizon    2.15 s    the least age tried, a 16th of the recording or more
    kept       45        allocated in the first 22.4 s; all of them are live
    older      0         frees of objects from before the recording: p of a steady population is 3 x 2^-45
    died       0         no object that was older than 2.15 s was freed
    rate       2.01 a second (1.47 to 2.69): 45 in 22.4 s
    class      suspect
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.percentiles import percentile
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.leaks.by_design import Design, Fate, by_design
from slabtrace.analysis.leaks.evidence import Tested
from slabtrace.analysis.leaks.findings import CLASSES, Circumstances, Judged, judge
from slabtrace.analysis.leaks.group_tests import Gatherer, Rows
from slabtrace.analysis.leaks.owners import Owned, owned
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.trust.confidence import NO_BOUND, Bounds, Proof

NOT_ASKED = "some may have been freed on paths that cannot be traced: a recording asks the slabs at its end"
KERNEL_SHARE = 0.5  # of what a group gained, that the kernel's own count of its cache must show


@dataclass
class Known:
    """What else is known of a recording.

    `proof`: which objects may have been freed unseen.  `pinned`, shape (n,): of each live object, 1 pinned, 0
    not, -1 not known.  `kernel_change`: of the kernel's own count, by name of the cache; `slack`: how far it
    may be wrong.  `older_unseen`: frees of older objects were not recorded (a filter by task or size).
    `one_in`: of so many addresses one was recorded.  `slabs_asked`: whether it was asked which objects are
    in use.  If not (a live view), objects count as in use where no bound is known, and no finding of them
    is a suspect.
    """

    proof: Proof
    pinned: NDArray[np.int8]
    kernel_change: dict[str, int]
    slack: dict[str, int]
    older_unseen: bool = False
    one_in: int = 1
    slabs_asked: bool = True


@dataclass
class Verdicts:
    """What was found.

    `owned`: the findings; `row`, shape (f,): the row of each finding's owner in the table of groups by stack;
    `results`, `bounds`, `designs`, `doubts`: of each finding; `judged`: the classes.
    """

    owned: Owned
    row: Positions
    results: list[Tested]
    bounds: Bounds
    designs: list[Design | None]
    doubts: list[str]
    judged: Judged


def judged(kept: Kept, by_stack: pd.DataFrame, groups: Groups, known: Known) -> Verdicts:
    """The findings of a trace; `by_stack`: analysis.tables.outstanding of `groups`, which are by stack."""
    live = kept.objects.live
    member = groups.of_site[live.site]
    alone = np.zeros(len(groups), np.bool_)
    every = [by_design(*each) for each in _named(by_stack)]
    alone[by_stack["group"].to_numpy()] = _has_fate(every, Fate.KEPT) | _has_fate(every, Fate.SHRUNK)
    several = np.zeros(len(groups), np.bool_)
    several[by_stack["group"].to_numpy()] = by_stack["stacks"].to_numpy() > 1
    found = owned(live, member, sizes(kept, groups), known.pinned, alone, several)
    bounds = known.proof.bounds(live, found.finding, groups.cache[found.owner])
    of_owner = np.where(member == found.owner[found.finding], found.finding, -1)
    rows = Rows(
        groups.of_site,
        groups.cache,
        found.owner,
        of_owner,
        _doubtful(kept, groups, found, of_owner, known),
    )
    tests = Gatherer(kept, rows).tests()
    row = row_of_group(by_stack, groups)[found.owner]
    owners = by_stack.iloc[row]
    designs = [every[at] for at in row.tolist()]
    unknown = np.bincount(found.finding, known.pinned < 0, len(row)) > 0
    doubts = [
        _doubt(owner, result, grew, bool(whether), known)
        for owner, result, grew, whether in zip(
            owners.to_dict("records"), tests.results, tests.in_cache.tolist(), unknown, strict=True
        )
    ]
    if not known.slabs_asked:
        unsure = bounds.maybe_freed == NO_BOUND
        doubts = [each or NOT_ASKED * missed for each, missed in zip(doubts, unsure.tolist(), strict=True)]
    about = Circumstances(
        reclaimable=found.freeable | _has_fate(designs, Fate.SHRUNK),
        expected=_has_fate(designs, Fate.KEPT) | owners["own"].to_numpy(bool),
        doubted=_has_fate(designs, Fate.PROCESS) | np.array([bool(doubt) for doubt in doubts], np.bool_),
    )
    return Verdicts(found, row, tests.results, bounds, designs, doubts, judge(tests.results, about))


def groups_tested(
    kept: Kept, outstanding: pd.DataFrame, groups: Groups, known: Known, verdicts: Verdicts
) -> pd.DataFrame:
    """`outstanding` of `groups` of any kind with what the tests say of each, and `finding`.

    `finding` is the number of the gravest finding that holds objects of the group, of several that of most.
    """
    row, live = row_of_group(outstanding, groups), kept.objects.live
    of_site = np.append(row, -1)[groups.of_site]
    group = np.zeros(len(outstanding), np.intp)
    group[row[row >= 0]] = np.flatnonzero(row >= 0)
    others = outstanding["outstanding"] - outstanding["in_use"]
    doubtful = outstanding["maybe_freed"].fillna(others).to_numpy(np.int64)
    member = of_site[live.site]
    rows = Rows(groups.of_site, groups.cache, group, member, doubtful)
    frame = with_tests(outstanding, Gatherer(kept, rows).tests().results, kept, of_site, known.one_in)
    return frame.assign(finding=gravest(member, verdicts, len(frame)))


def with_tests(
    frame: pd.DataFrame, results: list[Tested], kept: Kept, of_site: Positions, one_in: int
) -> pd.DataFrame:
    """`frame` with what the tests say: see columns.leaks.  Rates are those of all objects, sampled or not."""
    length_ns = kept.ages.length_ns
    per_s = one_in / (length_ns / 1e9)
    lived = np.zeros((len(frame), kept.ages.lived.shape[1]), np.int64)
    member = of_site >= 0
    np.add.at(lived, of_site[member], kept.ages.lived[member])
    return frame.assign(
        p=[each.p for each in results],
        rate_per_s=[each.rate.rate * per_s for each in results],
        rate_low=[each.rate.low * per_s for each in results],
        rate_high=[each.rate.high * per_s for each in results],
        old=[each.kept for each in results],
        old_freed=[each.died for each in results],
        older_freed=[each.older for each in results],
        horizon_ns=[round(each.horizon * length_ns) for each in results],
        dispersion=[each.dispersion for each in results],
        sibling_ns=np.minimum(percentile(lived, 0.5), length_ns),
    )


def sizes(kept: Kept, groups: Groups) -> Counts:
    """The size of an object of each group (bytes), shape (g,); of several the largest."""
    size = np.zeros(len(groups), np.int64)
    member = groups.of_site >= 0
    np.maximum.at(size, groups.of_site[member], kept.sites["bytes_alloc"].astype(np.int64)[member])
    return size


def row_of_group(outstanding: pd.DataFrame, groups: Groups) -> Positions:
    """The row of each group in the table, -1 for none, shape (g,)."""
    row = np.full(len(groups), -1, np.intp)
    row[outstanding["group"].to_numpy()] = np.arange(len(outstanding))
    return row


def _doubtful(kept: Kept, groups: Groups, found: Owned, of_owner: Positions, known: Known) -> Counts:
    """How many owners of each finding may have been freed unseen: those not in use, if no bound is known."""
    owners = np.flatnonzero(of_owner >= 0)
    live = kept.objects.live.take(owners)
    bounds = known.proof.bounds(live, of_owner[owners], groups.cache[found.owner])
    number = np.bincount(of_owner[owners], minlength=len(found.owner))
    unbounded = number - bounds.in_use if known.slabs_asked else np.zeros_like(number)
    return np.where(bounds.maybe_freed == NO_BOUND, unbounded, bounds.maybe_freed)


def gravest(member: Positions, verdicts: Verdicts, rows: int) -> Positions:
    """The finding of each row, shape (rows,): of the gravest class, of these with most objects; -1: none."""
    finding = verdicts.owned.finding
    number = np.int64(len(verdicts.row) + 1)
    keys, objects = np.unique(member[member >= 0] * number + finding[member >= 0], return_counts=True)
    row, of = keys // number, keys % number
    grave = np.array([CLASSES.index(each) for each in verdicts.judged.classes], np.int64)
    order = np.lexsort((objects, -grave[of], row))
    found = np.full(rows, -1, np.intp)
    found[row[order]] = of[order]
    return found


def _named(frame: pd.DataFrame) -> Iterator[tuple[str, str, list[str]]]:
    return zip(frame["cache"], frame["symbol"], frame["stack"], strict=True)


def _has_fate(designs: list[Design | None], fate: Fate) -> NDArray[np.bool_]:
    return np.array([each is not None and each.fate == fate for each in designs], np.bool_)


def _doubt(owner: dict[Any, Any], result: Tested, in_cache: bool, unknown: bool, known: Known) -> str:
    """What speaks against a finding being a leak, "" if nothing does."""
    if not in_cache:
        return "as many older objects of this cache were freed meanwhile, perhaps of this kind"
    if owner["reclaimable"] and unknown:
        return "the kernel may be able to free these when memory is short: the trace does not say"
    claim, cache = (result.kept - result.older) * known.one_in, str(owner["cache"])
    change = known.kernel_change.get(cache)
    if change is not None and change + known.slack.get(cache, 0) < KERNEL_SHARE * claim:
        return "by the kernel's own count this cache did not grow by so much"
    if known.older_unseen and (change is None or change < KERNEL_SHARE * claim):
        return "the filter left out frees of older objects, and the kernel's own count shows no such growth"
    return ""
