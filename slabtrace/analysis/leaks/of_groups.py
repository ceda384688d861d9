# SPDX-License-Identifier: Apache-2.0
"""Groups of outstanding objects of any kind: what the tests say of each, and to which finding it belongs.

A group can hold objects of several findings: of all open files, those of sockets and others.  It belongs to
the gravest: suspect, growing, replacing, retained; young and reclaimable ones are alike.  Of several
findings as grave, it belongs to that of most of its objects.

Example: of 128 dentries 126 are known to be reclaimable; the two newest are young, a finding of their own.
The group belongs to the finding of the 126.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.leaks.evidence import Tested
from slabtrace.analysis.leaks.findings import CLASSES, YOUNG
from slabtrace.analysis.leaks.group_tests import Gatherer, Rows
from slabtrace.analysis.leaks.judgement import Verdicts, row_of_group
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.statistics.percentiles import percentile
from slabtrace.analysis.tables.who import growth_of_objects

RATES = {"rate_per_s": "growth_bytes_per_s", "rate_low": "growth_low", "rate_high": "growth_high"}
HARMLESS = CLASSES.index(YOUNG)  # this class and those after it claim nothing


def groups_tested(
    kept: Kept, outstanding: pd.DataFrame, groups: Groups, verdicts: Verdicts, one_in: int
) -> pd.DataFrame:
    """`outstanding` of `groups` of any kind with what the tests say of each, and `finding`.

    `finding`: the number of the finding that a group belongs to, -1 for none.
    """
    row = row_of_group(outstanding, groups)
    of_site = np.append(row, -1)[groups.of_site]
    group = np.zeros(len(outstanding), np.intp)
    group[row[row >= 0]] = np.flatnonzero(row >= 0)
    others = outstanding["outstanding"] - outstanding["in_use"]
    doubtful = outstanding["maybe_freed"].fillna(others).to_numpy(np.int64)
    member = of_site[kept.objects.live.site]
    results = Gatherer(kept, Rows(groups.of_site, groups.cache, group, member, doubtful)).tests().results
    lived = lived_by_group(kept, groups)[group]
    frame = with_tests(outstanding, results, kept, lived, one_in)
    return frame.assign(finding=gravest(member, verdicts, len(frame)))


def with_shared_growth(
    tested: pd.DataFrame, kept: Kept, groups: Groups, finding: Positions, findings: pd.DataFrame
) -> pd.DataFrame:
    """`tested`, with rates that are shares of those of `findings`, by bytes, and their p.

    For groups of which only the outstanding objects are known: nothing can be said of how they grow by
    themselves.  `finding`, shape (n,): the rank of the finding of each live object.
    """
    live = kept.objects.live
    size = kept.sites["bytes_alloc"].astype(np.int64)[live.site]
    row = np.append(row_of_group(tested, groups), -1)[groups.of_site][live.site]
    each = tested["bytes_alloc"] / tested["outstanding"].clip(lower=1)
    for rate, growth in RATES.items():
        shared = growth_of_objects(finding, size, findings, growth)
        tested = tested.assign(**{rate: np.bincount(row, shared, len(tested)) / each.clip(lower=1)})
    best = np.ones(len(tested))
    np.minimum.at(best, row, np.append(1.0, findings["p"].to_numpy())[finding])
    return tested.assign(p=best)


def lived_by_group(kept: Kept, groups: Groups) -> Counts:
    """Lifetimes of the freed objects of each group by octave, shape (g, octaves)."""
    lived = np.zeros((len(groups), kept.ages.lived.shape[1]), np.int64)
    member = groups.of_site >= 0
    np.add.at(lived, groups.of_site[member], kept.ages.lived[member])
    return lived


def with_tests(
    frame: pd.DataFrame, results: list[Tested], kept: Kept, lived: Counts, one_in: int
) -> pd.DataFrame:
    """`frame` with what the tests say: see columns.leaks.  Rates are those of all objects, sampled or not.

    `lived`: of the freed objects of each row, see `lived_by_group`.
    """
    length_ns = kept.ages.length_ns
    per_s = one_in / (length_ns / 1e9)
    return frame.assign(
        p=[each.p for each in results],
        rate_per_s=[each.rate.rate * per_s for each in results],
        rate_low=[each.rate.low * per_s for each in results],
        rate_high=[each.rate.high * per_s for each in results],
        rate_since_ns=[round(each.since * length_ns) for each in results],
        old=[each.kept for each in results],
        old_freed=[each.died for each in results],
        older_freed=[each.older for each in results],
        horizon_ns=[round(each.horizon * length_ns) for each in results],
        dispersion=[each.dispersion for each in results],
        sibling_ns=np.minimum(percentile(lived, 0.5), length_ns),
    )


def gravest(member: Positions, verdicts: Verdicts, rows: int) -> Positions:
    """The finding of each row, shape (rows,); -1: none."""
    finding = verdicts.owned.finding
    number = np.int64(len(verdicts.row) + 1)
    keys, objects = np.unique(member[member >= 0] * number + finding[member >= 0], return_counts=True)
    row, of = keys // number, keys % number
    grave = np.array([min(CLASSES.index(each), HARMLESS) for each in verdicts.judged.classes], np.int64)
    order = np.lexsort((objects, -grave[of], row))
    found = np.full(rows, -1, np.intp)
    found[row[order]] = of[order]
    return found
