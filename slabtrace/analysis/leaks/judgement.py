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

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.percentiles import percentile
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.leaks import reclaim
from slabtrace.analysis.leaks.by_design import Design, by_design
from slabtrace.analysis.leaks.evidence import Tested
from slabtrace.analysis.leaks.findings import CLASSES, Circumstances, Judged, judge
from slabtrace.analysis.leaks.group_tests import Gatherer
from slabtrace.analysis.leaks.owners import findings_of
from slabtrace.analysis.pairing.paired import Positions

KERNEL_SHARE = 0.5  # of what a group gained, that the kernel's own count of its cache must show


@dataclass
class Known:
    """What else is known of a recording.

    `pinned`, shape (n,): of each live object, 1 pinned, 0 not, -1 not known.  `kernel_change`: of the
    kernel's own count, by name of the cache; `slack`: how far it may be wrong.  `older_unseen`: frees of
    older objects were not recorded (a filter by task or size).  `one_in`: of so many addresses one was
    recorded.
    """

    pinned: NDArray[np.int8]
    kernel_change: dict[str, int]
    slack: dict[str, int]
    older_unseen: bool = False
    one_in: int = 1


@dataclass
class Verdicts:
    """What was found of the groups by stack.

    `groups`: the rows of analysis.tables.outstanding, with what the tests say; `finding`, shape (k,): of
    each; `judged`: the classes of the findings; `owner`, `held`, shape (f,): the row of each finding's
    owner, and reclaim.Held; `known`: the design that each finding is part of; `of_site`, shape (s,): the
    finding of each site, -1 for none.
    """

    groups: pd.DataFrame
    finding: Positions
    judged: Judged
    owner: Positions
    held: NDArray[np.int8]
    known: list[Design | None]
    of_site: Positions
    results: list[Tested]
    doubts: list[str]


def judged(kept: Kept, outstanding: pd.DataFrame, groups: Groups, known: Known) -> Verdicts:
    """The findings of a trace; `outstanding` and `groups` are by stack."""
    row = row_of_group(outstanding, groups)
    of_site = np.append(row, -1)[groups.of_site]
    live, member = kept.objects.live, of_site[kept.objects.live.site]
    tests = Gatherer(kept, groups, row, doubtful(outstanding)).tests()
    frame = with_tests(outstanding, tests.results, kept, of_site, known.one_in)
    each = (frame["bytes_alloc"] / frame["outstanding"].clip(lower=1)).to_numpy().astype(np.int64)
    first = findings_of(live, member, each)
    _, finding = np.unique(first, return_inverse=True)
    owner = _owners(frame, finding)
    held = reclaim.of_findings(reclaim.held(known.pinned, member, len(frame)), finding)
    designs = [by_design(*each) for each in zip(frame["cache"], frame["symbol"], strict=True)]
    design = [designs[at] for at in owner.tolist()]
    results = [tests.results[at] for at in owner.tolist()]
    doubts = _doubts(frame, owner, results, tests.in_cache, held, known)
    about = Circumstances(
        reclaimable=(held == reclaim.Held.UNPINNED)
        | np.array([d is not None and d.shrinks for d in design], bool),
        expected=np.array([d is not None for d in design], bool) | frame["own"].to_numpy(bool)[owner],
        doubted=np.array([bool(doubt) for doubt in doubts], np.bool_),
    )
    verdict = judge(results, about)
    of_site = np.where(of_site >= 0, np.append(finding, -1)[of_site], -1)
    return Verdicts(frame, finding, verdict, owner, held, design, of_site, results, doubts)


def row_of_group(outstanding: pd.DataFrame, groups: Groups) -> Positions:
    """The row of each group in the table, -1 for none, shape (g,)."""
    row = np.full(len(groups), -1, np.intp)
    row[outstanding["group"].to_numpy()] = np.arange(len(outstanding))
    return row


def doubtful(outstanding: pd.DataFrame) -> NDArray[np.int64]:
    """How many objects of each group may have been freed unseen: those not in use, if no bound is known."""
    others = outstanding["outstanding"] - outstanding["in_use"]
    return outstanding["maybe_freed"].fillna(others).to_numpy(np.int64)


def with_tests(
    outstanding: pd.DataFrame, results: list[Tested], kept: Kept, of_site: Positions, one_in: int
) -> pd.DataFrame:
    """`outstanding` with what the tests say: see columns.leaks.  Rates are those of all objects."""
    length_ns = kept.ages.length_ns
    per_s = one_in / (length_ns / 1e9)
    size = outstanding["bytes_alloc"] / outstanding["outstanding"].clip(lower=1)
    frame = outstanding.assign(
        p=[each.p for each in results],
        rate_per_s=[each.rate.rate * per_s for each in results],
        rate_low=[each.rate.low * per_s for each in results],
        rate_high=[each.rate.high * per_s for each in results],
        old=[each.kept for each in results],
        old_freed=[each.died for each in results],
        older_freed=[each.older for each in results],
        horizon_ns=[round(each.horizon * length_ns) for each in results],
        dispersion=[each.dispersion for each in results],
    )
    for name, rate in (
        ("growth_bytes_per_s", "rate_per_s"),
        ("growth_low", "rate_low"),
        ("growth_high", "rate_high"),
    ):
        frame[name] = frame[rate] * size
    lived = np.zeros((len(frame), kept.ages.lived.shape[1]), np.int64)
    member = of_site >= 0
    np.add.at(lived, of_site[member], kept.ages.lived[member])
    return frame.assign(sibling_ns=np.minimum(percentile(lived, 0.5), length_ns))


def of_other_groups(
    kept: Kept, outstanding: pd.DataFrame, groups: Groups, known: Known, verdicts: Verdicts
) -> pd.DataFrame:
    """Groups that are not by stack, tested themselves; finding: the gravest that each holds objects of."""
    row = row_of_group(outstanding, groups)
    of_site = np.append(row, -1)[groups.of_site]
    tests = Gatherer(kept, groups, row, doubtful(outstanding)).tests()
    frame = with_tests(outstanding, tests.results, kept, of_site, known.one_in)
    grave = np.array([CLASSES.index(each) for each in verdicts.judged.classes], np.int64)
    chosen = np.full(len(frame), -1, np.intp)
    held = kept.objects.held
    sites = np.flatnonzero((of_site >= 0) & (verdicts.of_site >= 0) & (held > 0))
    order = sites[np.lexsort((-held[sites], grave[verdicts.of_site[sites]]))][::-1]
    chosen[of_site[order]] = verdicts.of_site[order]
    return frame.assign(finding=chosen)


def _owners(frame: pd.DataFrame, finding: Positions) -> Positions:
    """The row of each finding's owner: the group with most bytes, shape (f,)."""
    order = np.lexsort((frame["bytes_alloc"].to_numpy(), finding))
    last = np.searchsorted(finding[order], np.arange(int(finding.max(initial=-1)) + 1), side="right") - 1
    owners: Positions = order[last]
    return owners


def _doubts(
    frame: pd.DataFrame,
    owner: Positions,
    results: list[Tested],
    in_cache: NDArray[np.bool_],
    held: NDArray[np.int8],
    known: Known,
) -> list[str]:
    """What speaks against each finding being a leak, "" where nothing does."""
    return [
        _doubt(frame.iloc[at], result, bool(in_cache[at]), int(state), known)
        for at, result, state in zip(owner.tolist(), results, held.tolist(), strict=True)
    ]


def _doubt(group: pd.Series, result: Tested, in_cache: bool, state: int, known: Known) -> str:
    if not in_cache:
        return "as many older objects of this cache were freed meanwhile, perhaps of this group"
    if bool(group["reclaimable"]) and state == reclaim.Held.UNKNOWN:
        return "the kernel may be able to free these when memory is short: the trace does not say"
    claim = (result.kept - result.older) * known.one_in
    change = known.kernel_change.get(str(group["cache"]))
    if change is not None and change + known.slack.get(str(group["cache"]), 0) < KERNEL_SHARE * claim:
        return "by the kernel's own count this cache did not grow by so much"
    if known.older_unseen and (change is None or change < KERNEL_SHARE * claim):
        return "the filter left out frees of older objects, and the kernel's own count shows no such growth"
    return ""
