# SPDX-License-Identifier: Apache-2.0
"""The class of each group of outstanding objects, with its score, its growth and the reason.

suspect       old objects stay, more were allocated all along, and the growth is certain
reclaimable   the kernel shrinks its cache when memory is short (SLAB_RECLAIM_ACCOUNT), or its objects were
              allocated together with objects of such a cache (companions.py)
young         no object is old enough to judge
retained      everything else: no certain growth, too few old objects, allocated in a burst or not any more

slabtrace's own objects, and what by_design.py lists, are never suspects.
The score and its thresholds, with their reasons: docs/analysis.md.

Example: fixtures/slow-leak.slab.  In 24.5 s 48 objects leaked, one every 0.5 s; 4,800 others were freed.

    horizon          2.15 s   objects of this group are rarely freed later than that (survival.py)
    kept share       1.0      of the 45 objects that got older, none was freed
    steadiness       1.0      they were allocated in every eighth of the time
    certain growth   0.98     14.7 of 15.0 KiB/min, the lower bound of the slope by the slope (slope.py)
    score            0.98     the product of the three: at least LEAST_SCORE
    late share       0.5      half of the 45 in the later half: it has not ended
    class            suspect
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.ages import SLICES, Ages
from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.leaks.by_design import Design, by_design
from slabtrace.analysis.leaks.companions import companions
from slabtrace.analysis.leaks.slope import Slope, theil_sen
from slabtrace.analysis.leaks.survival import FREED_SHARE, Survival, survival
from slabtrace.analysis.leaks.why import why
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.columns import JUDGEMENT

SUSPECT, RETAINED, YOUNG, RECLAIMABLE = CLASSES = ("suspect", "retained", "young", "reclaimable")

LEAST_OLD = 8  # old objects of a suspect
LEAST_STEADINESS = 0.6
LEAST_SCORE = 0.4  # with less, growth may be almost nothing: a process that grows while it starts has 0.35
LEAST_LATE_SHARE = 0.25  # share of old objects allocated in the later half: the leak has not ended
ATTACHED_SHARE = 0.9  # share of a group's objects that were allocated together with a reclaimable one
ATTACHED = (
    "allocated together with objects of a cache that the kernel shrinks when memory is short, such as inodes "
    "(an object in use stays)"
)
POINTS = 32  # of the series of which the slope is computed
COLUMNS = JUDGEMENT.names


@dataclass
class Judged:
    """What is judged: k groups with outstanding objects.

    `of_site`, shape (s,): the group of each site, -1 for none.  `bytes_alloc`, shape (s,): the size of an
    object. `alloc_ns`, `site`: time and site of every live object; each is in one of the groups.
    `companion`: the reclaimable object that each live object was allocated together with, -1 if there is
    none. `reclaimable`, `own`, shape (k,): whether the cache is, and whether all objects are slabtrace's own.
    `by_design`: the known design that each group is part of.
    """

    of_site: Positions
    bytes_alloc: Counts
    alloc_ns: NDArray[np.int64]
    site: Positions
    reclaimable: NDArray[np.bool_]
    own: NDArray[np.bool_]
    by_design: Sequence[Design | None]
    companion: Positions


def leaks(kept: Kept, outstanding: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    """`outstanding` (of analysis.tables.outstanding, made of `kept` and `groups`), judged and ranked.

    Adds rank (from 1), and COLUMNS: see `judge`.
    """
    row = np.full(len(groups) + 1, -1, np.intp)  # the last: of the group -1, which is that of frees
    row[outstanding["group"].to_numpy()] = np.arange(len(outstanding))
    live = kept.objects.live
    names = zip(outstanding["cache"], outstanding["symbol"], strict=True)
    judged = Judged(
        of_site=row[groups.of_site],
        bytes_alloc=kept.sites["bytes_alloc"].astype(np.int64),
        alloc_ns=live.ts_ns,
        site=live.site.astype(np.intp),
        reclaimable=outstanding["reclaimable"].to_numpy(bool),
        own=outstanding["own"].to_numpy(bool),
        by_design=[by_design(*each) for each in names],
        companion=companions(live, _in_reclaimable_caches(kept)),
    )
    return ranked(outstanding.drop(columns="group"), judge(kept.ages, judged))


def judge(ages: Ages, judged: Judged) -> pd.DataFrame:
    """One row for each group: COLUMNS; those from `old` on are explained at survival.Survival."""
    lived = np.zeros((len(judged.own), ages.lived.shape[1]), np.int64)
    member = judged.of_site >= 0
    np.add.at(lived, judged.of_site[member], ages.lived[member])
    # objects from earlier parts of a series are older than this part
    since_ns = min(ages.begin_ns, int(judged.alloc_ns.min(initial=ages.begin_ns)))
    group = judged.of_site[judged.site]
    found = survival(lived, judged.alloc_ns, group, ages.begin_ns, ages.end_ns, since_ns)
    growth = _growth(ages, judged)
    frame = pd.DataFrame(
        {
            "growth_bytes_per_s": growth.slope,
            "growth_low": growth.low,
            "growth_high": growth.high,
            **{name: getattr(found, name) for name in COLUMNS[6:]},
        }
    )
    frame["score"] = _score(found, growth).round(3)
    attached = _attached(judged)
    frame["class"] = _classes(found, frame["score"].to_numpy(), judged, attached)
    frame["known"] = ["" if each is None else each.reason for each in judged.by_design]
    frame.loc[attached & ~judged.reclaimable, "known"] = ATTACHED
    frame["length_ns"] = ages.end_ns - ages.begin_ns
    frame["why"] = [why(each) for each in frame.to_dict("records")]
    return frame[list(COLUMNS)]


def ranked(outstanding: pd.DataFrame, judgement: pd.DataFrame) -> pd.DataFrame:
    """`outstanding` with its `judgement`, in the order to look at it (column rank, from 1).

    Suspects come first, by the lower bound of their growth times the score; then retained, young and
    reclaimable groups, each by bytes; slabtrace's own last.
    """
    frame = pd.concat([outstanding, judgement], axis=1)
    order = pd.DataFrame(
        {
            "own": frame["own"],
            "class": [CLASSES.index(each) for each in frame["class"]],
            "weight": -(frame["growth_low"] * frame["score"]).where(frame["class"] == SUSPECT, 0.0),
        },
        index=frame.index,
    )
    frame = frame.loc[order.sort_values(["own", "class", "weight"], kind="stable").index]
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    return frame.reset_index(drop=True)


def _growth(ages: Ages, judged: Judged) -> Slope:
    """Slopes of the outstanding bytes, bytes a second."""
    outstanding = ages.outstanding(judged.of_site, len(judged.own), judged.bytes_alloc)
    at = np.arange(SLICES // POINTS - 1, SLICES, SLICES // POINTS)
    seconds = at.astype(np.float64) * (ages.width_ns / 1e9)
    return theil_sen(seconds, outstanding[at].astype(np.float64))


def _score(found: Survival, growth: Slope) -> NDArray[np.float64]:
    certain = np.clip(growth.low / np.where(growth.slope > 0, growth.slope, 1.0), 0.0, 1.0)
    certain[growth.slope <= 0] = 0.0
    score: NDArray[np.float64] = found.kept_share * found.steadiness * certain
    return score


def _in_reclaimable_caches(kept: Kept) -> NDArray[np.bool_]:
    """Whether the cache of each live object is reclaimable."""
    of_cache = np.array(kept.caches.reclaimable, np.bool_)
    return of_cache[kept.caches.of_site[kept.objects.live.site]]


def _attached(judged: Judged) -> NDArray[np.bool_]:
    """Whether nearly all live objects of each group were allocated each with a reclaimable one of its own."""
    member = judged.of_site[judged.site]
    number = np.bincount(member, minlength=len(judged.own))
    some = np.flatnonzero(judged.companion >= 0)
    pairs = np.unique(np.stack([member[some], judged.companion[some]]), axis=1)
    with_one = np.bincount(pairs[0], minlength=len(judged.own))
    return with_one >= ATTACHED_SHARE * np.maximum(number, 1)


def _classes(
    found: Survival, score: NDArray[np.float64], judged: Judged, attached: NDArray[np.bool_]
) -> list[str]:
    shrinks = np.array([each is not None and each.shrinks for each in judged.by_design], np.bool_)
    expected = np.array([each is not None for each in judged.by_design], np.bool_) | judged.own
    grows = (score >= LEAST_SCORE) & (found.old >= LEAST_OLD) & (found.kept_share >= 1 - FREED_SHARE)
    grows &= (found.steadiness >= LEAST_STEADINESS) & (found.late_share >= LEAST_LATE_SHARE)
    cases = [judged.reclaimable | shrinks | attached, found.old == 0, grows & ~expected]
    return [str(each) for each in np.select(cases, [RECLAIMABLE, YOUNG, SUSPECT], RETAINED).tolist()]
