# SPDX-License-Identifier: Apache-2.0
"""From what a scan counted to findings with a class.

The steps: which objects came one with one, and so make a finding (owners.py); the evidence for each
finding's owner and its tests (group_tests.py, evidence.py); what speaks against a leak (doubts.py,
by_design.py); the class of each (findings.py).  Their table: table.py.  Groups by stack, call site, module,
process or cache have tests of their own for their rate, and the class of a finding: of_groups.py.  The
method with its sources: docs/analysis.md.

Example: fixtures/slow-leak.slab.  In 24.5 s 48 objects leaked, one every 0.5 s; 4,800 others were freed.

    horizon    2.15 s    the least age tried, a 16th of the recording or more
    kept       45        allocated in the first 22.4 s; all of them are live
    older      0         frees of objects from before the recording: p of a steady population is 2^-45
    died       0         no object that was older than 2.15 s was freed
    rate       2.01 a second (1.47 to 2.69): 45 in 22.4 s
    class      suspect
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.freeing.paths import freed_unseen
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.holders.inspected import Held, never_lost
from slabtrace.analysis.leaks.by_design import Design, Fate, by_design, freed_inside
from slabtrace.analysis.leaks.by_task import Divided, divided, personal
from slabtrace.analysis.leaks.doubts import NOT_ASKED, Doubt, Known, doubts_of, of_time
from slabtrace.analysis.leaks.evidence import Tested
from slabtrace.analysis.leaks.findings import YOUNG, Circumstances, Judged, judge
from slabtrace.analysis.leaks.group_tests import Gatherer, GroupTests, Rows
from slabtrace.analysis.leaks.owners import Owned, Traits, owned
from slabtrace.analysis.names.context import accidental
from slabtrace.analysis.names.known_objects import FANOTIFY_EVENT, INOTIFY_EVENT
from slabtrace.analysis.names.objects import is_no_part_of_a_file
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.trust.confidence import NO_BOUND, Bounds

Designs = list[Design | None]
EVENTS = (INOTIFY_EVENT, FANOTIFY_EVENT)  # each comes with the file that it is about, and is no part of it


@dataclass
class Verdicts:
    """What was found.

    `owned`: the findings; `of_owner`, shape (n,): the finding that each live object is an owner of, -1 for
    none; `row`, shape (f,): the row of each finding's owner in the table of groups by stack;
    `task`, shape (f,): the task that each is of, by_task.ANY for several; `results`, `bounds`, `designs`,
    `doubts`, `held`: of each finding; `judged`: the classes.
    """

    owned: Owned
    of_owner: Positions
    row: Positions
    task: Counts
    results: list[Tested]
    bounds: Bounds
    designs: Designs
    doubts: list[Doubt]
    held: list[Held]
    judged: Judged


def judged(kept: Kept, by_stack: pd.DataFrame, groups: Groups, known: Known) -> Verdicts:
    """The findings of a trace; `by_stack`: analysis.tables.outstanding of `groups`, which are by stack."""
    of_row = [by_design(*each) for each in _named(by_stack)]
    found, task = _divided(kept, by_stack, groups, _owned(kept, by_stack, groups, of_row, known))
    row = row_of_group(by_stack, groups)[found.owner]
    owners, designs = by_stack.iloc[row], [of_row[at] for at in row.tolist()]
    of_owner = _of_owner(kept, groups, found)
    tests = _tests(kept, groups, Divided(found, task), of_owner, known)
    bounds = known.proof.bounds(kept.objects.live, found.finding, groups.cache[found.owner])
    alike = _alike(kept, found, of_owner, known)
    doubts = doubts_of(owners, found, of_owner, tests, designs, known, alike)
    if not known.slabs_asked:
        unsure = (bounds.maybe_freed == NO_BOUND).tolist()
        doubts = [NOT_ASKED if no and not has.says else has for has, no in zip(doubts, unsure, strict=True)]
    too_short = [each is not None and bool(of_time(each, known.length_s).says) for each in designs]
    classes = judge(tests.results, _circumstances(found, owners, designs, doubts, too_short))
    held = _lost_at_most(_held(kept, of_owner, len(row), known), owners, designs, classes)
    return Verdicts(found, of_owner, row, task, tests.results, bounds, designs, doubts, held, classes)


def freed_inside_by(kept: Kept, lookup: Lookup) -> Positions:
    """The sites of older frees where the slab allocator frees what is its own."""
    sites = np.unique(kept.older.site)
    names = [lookup.symbols.name(each) for each in kept.sites["call_site"][sites].tolist()]
    return sites[[freed_inside(name) for name in names]] if len(sites) else sites


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


def _owned(kept: Kept, by_stack: pd.DataFrame, groups: Groups, of_row: Designs, known: Known) -> Owned:
    """The findings that the objects of a trace make; `of_row`: the design of each row of `by_stack`."""
    live, group = kept.objects.live, by_stack["group"].to_numpy()
    alone, several, unseen, thing = np.zeros((4, len(groups)), np.bool_)
    alone[group] = _has_fate(of_row, Fate.KEPT) | _has_fate(of_row, Fate.SHRUNK)
    alone[group] |= by_stack["object"].isin(EVENTS).to_numpy(bool)
    several[group] = by_stack["stacks"].to_numpy() > 1
    freed = zip(by_stack["freed_by"], by_stack["freed"], strict=True)
    unseen[group] = [freed_unseen(*each) for each in freed]
    thing[group] = by_stack["object"].map(is_no_part_of_a_file).to_numpy(bool)
    about = Traits(sizes(kept, groups), alone, several, unseen, thing)
    return owned(live, groups.of_site[live.site], known.pinned, about)


def _of_owner(kept: Kept, groups: Groups, found: Owned) -> Positions:
    """The finding that each live object is an owner of, -1 for what hangs on one: shape (n,)."""
    member = groups.of_site[kept.objects.live.site]
    return np.where(member == found.owner[found.finding], found.finding, -1)


def _divided(kept: Kept, by_stack: pd.DataFrame, groups: Groups, found: Owned) -> Divided:
    """`found`, divided by task where that makes sense: not where the task was there by accident."""
    is_owner = _of_owner(kept, groups, found) >= 0
    of_tasks = personal(kept.ages, groups.of_site, len(groups))
    by_accident = by_stack["context"].map(accidental).to_numpy(bool)
    of_tasks[by_stack["group"].to_numpy()[by_accident]] = False
    return divided(found, kept.objects.live.tid, is_owner, of_tasks)


def _tests(kept: Kept, groups: Groups, divided: Divided, of_owner: Positions, known: Known) -> GroupTests:
    """The tests of each finding, by its owners."""
    found, task = divided
    doubtful = _doubtful(kept, groups, found, of_owner, known)
    rows = Rows(groups.of_site, groups.cache, found.owner, of_owner, doubtful, task)
    return Gatherer(kept, rows).tests()


def _circumstances(
    found: Owned, owners: pd.DataFrame, designs: Designs, doubts: list[Doubt], too_short: list[bool]
) -> Circumstances:
    """What is true of the findings apart from the tests."""
    return Circumstances(
        reclaimable=found.freeable | _has_fate(designs, Fate.SHRUNK),
        expected=_has_fate(designs, Fate.KEPT) | owners["own"].to_numpy(bool),
        doubted=np.array([bool(doubt.says) for doubt in doubts], np.bool_),
        too_short=np.array(too_short, np.bool_),
    )


def _doubtful(kept: Kept, groups: Groups, found: Owned, of_owner: Positions, known: Known) -> Counts:
    """How many owners of each finding may have been freed unseen: those not in use, if no bound is known."""
    owners = np.flatnonzero(of_owner >= 0)
    live = kept.objects.live.take(owners)
    bounds = known.proof.bounds(live, of_owner[owners], groups.cache[found.owner])
    number = np.bincount(of_owner[owners], minlength=len(found.owner))
    unbounded = number - bounds.in_use if known.slabs_asked else np.zeros_like(number)
    return np.where(bounds.maybe_freed == NO_BOUND, unbounded, bounds.maybe_freed)


def _alike(kept: Kept, found: Owned, of_owner: Positions, known: Known) -> list[Held]:
    """What is known of the owners of the same group, whatever findings these are of; shape (f,)."""
    groups, group = np.unique(found.owner, return_inverse=True)
    of_group = np.where(of_owner >= 0, np.append(group, -1)[of_owner], -1)
    by_group = _held(kept, of_group, len(groups), known)
    return [by_group[at] for at in group.tolist()]


def _held(kept: Kept, of_owner: Positions, findings: int, known: Known) -> list[Held]:
    """What the inspection says of findings."""
    if known.inspected is None:
        return [Held()] * findings
    return known.inspected.of_findings(kept.objects.live, of_owner, findings)


def _lost_at_most(held: list[Held], owners: pd.DataFrame, designs: Designs, judged: Judged) -> list[Held]:
    """`held` of each finding, and lost only what has no other reason to be without a holder.

    The kernel knows where it has what it keeps by design, or gives up when memory is short.
    """
    freed = zip(owners["symbol"], owners["freed_by"], owners["freed"], strict=True)
    kept = _has_fate(designs, Fate.KEPT) | _has_fate(designs, Fate.SHRUNK)
    never = [bool(no) or never_lost(*each) for no, each in zip(kept, freed, strict=True)]
    return [
        each.not_lost() if no else each.too_new() if class_ == YOUNG else each
        for each, no, class_ in zip(held, never, judged.classes, strict=True)
    ]


def _named(frame: pd.DataFrame) -> Iterator[tuple[str, str, list[str]]]:
    return zip(frame["cache"], frame["symbol"], frame["stack"], strict=True)


def _has_fate(designs: Designs, fate: Fate) -> NDArray[np.bool_]:
    return np.array([each is not None and each.fate == fate for each in designs], np.bool_)
