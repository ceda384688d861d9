# SPDX-License-Identifier: Apache-2.0
"""The tables of findings and of groups, ranked: what matters first on top, slabtrace's own last."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.summary import Lookup
from slabtrace.analysis.grouping.groups import Groups
from slabtrace.analysis.grouping.kept import Kept
from slabtrace.analysis.holders.classes import LOST
from slabtrace.analysis.leaks import why
from slabtrace.analysis.leaks.by_task import ANY
from slabtrace.analysis.leaks.findings import CLASSES, GROWING, SUSPECT, YOUNG
from slabtrace.analysis.leaks.judgement import Verdicts
from slabtrace.analysis.leaks.of_groups import lived_by_group, with_tests
from slabtrace.analysis.names.cache_names import allocator_of
from slabtrace.analysis.names.objects import shown
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.statistics.limits import factor_to_decide
from slabtrace.analysis.tables.charged import charged
from slabtrace.analysis.tables.identity import Identities
from slabtrace.analysis.tables.outstanding import ages_of, own_of, tasks_of
from slabtrace.analysis.trust.confidence import NO_BOUND, confidence_of
from slabtrace.columns import FINDINGS, LEAKS

OF_OWNER = (
    "cache", "call_site", "symbol", "stack", "module", "stack_of", "stacked", "stacks", "allocated", "freed",
    "object", "alias", "aliases",
    "context", "freed_by", "others_freed_by",
)  # fmt: skip
GROWTH = {"growth_bytes_per_s": "rate_per_s", "growth_low": "rate_low", "growth_high": "rate_high"}


class Tables(NamedTuple):
    """`findings`: columns.FINDINGS, ranked.  `rank`, shape (f,): of each finding of the Verdicts."""

    findings: pd.DataFrame
    rank: Positions


def findings_table(
    kept: Kept, by_stack: pd.DataFrame, groups: Groups, lookup: Lookup, verdicts: Verdicts, one_in: int
) -> Tables:
    """The table of findings; `by_stack`: analysis.tables.outstanding of `groups`, which are by stack."""
    frame = by_stack.iloc[verdicts.row][list(OF_OWNER)].reset_index(drop=True)
    frame = _sized(frame, kept, groups, verdicts)
    frame = _described(frame, kept, lookup, verdicts)
    frame["parts"] = pd.Series(_parts(frame, kept, lookup, verdicts), dtype=object)
    lived = lived_by_group(kept, groups)[verdicts.owned.owner]
    frame = with_tests(frame, verdicts.results, kept, lived, one_in)
    for name, rate in GROWTH.items():
        frame[name] = frame[rate] * frame["bytes_each"]
    frame["class"], frame["doubt"] = verdicts.judged.classes, [each.says for each in verdicts.doubts]
    frame = _held(frame, verdicts)
    frame["longer_ns"] = _longer(frame, verdicts.judged.tests, kept.ages.length_ns)
    frame["why"], frame["next"] = _words(frame, verdicts)
    frame["allocator"] = [allocator_of(cache) for cache in frame["cache"]]
    order = _order(frame)
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(1, len(order) + 1)
    frame = frame.iloc[order].reset_index(drop=True)
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    return Tables(frame, rank)


def groups_table(groups: pd.DataFrame, made: Tables) -> pd.DataFrame:
    """Groups (of_groups.groups_tested), ranked by their findings: columns.LEAKS."""
    frame = groups.assign(finding=np.append(made.rank, 0)[groups["finding"].to_numpy(np.intp)])
    size = frame["bytes_alloc"] / frame["outstanding"].clip(lower=1)
    frame = frame.assign(**{name: frame[rate] * size for name, rate in GROWTH.items()})
    by_rank = made.findings.set_index("rank")
    known = frame["finding"].where(frame["finding"] > 0)
    frame = frame.assign(
        **{"class": known.map(by_rank["class"]).fillna(YOUNG), "why": known.map(by_rank["why"]).fillna("")}
    )
    last = frame["finding"].where(frame["finding"] > 0, len(by_rank) + 1)
    order = np.lexsort([-frame["bytes_alloc"].to_numpy(), last.to_numpy(), frame["own"].to_numpy(bool)])
    ranked = frame.iloc[order].reset_index(drop=True)
    ranked.insert(0, "rank", np.arange(1, len(ranked) + 1))
    return ranked[list(LEAKS.names)]


def with_groups(findings: pd.DataFrame, by_stack: pd.DataFrame) -> pd.DataFrame:
    """`findings` with the ranks of their groups by stack (groups_table): columns.FINDINGS."""
    members: list[list[int]] = [[] for _ in range(len(findings))]
    for finding, rank in zip(by_stack["finding"].tolist(), by_stack["rank"].tolist(), strict=True):
        if finding:
            members[finding - 1].append(rank)
    return findings.assign(groups=pd.Series(members, dtype=object))[list(FINDINGS.names)]


def _sized(frame: pd.DataFrame, kept: Kept, groups: Groups, verdicts: Verdicts) -> pd.DataFrame:
    """How much each finding is: owners, objects, bytes, and the caches of its parts."""
    live, finding, number = kept.objects.live, verdicts.owned.finding, len(frame)
    member = groups.of_site[live.site]
    owner = finding[member == verdicts.owned.owner[finding]]
    bytes_alloc, bytes_req = (
        np.bincount(finding, kept.sites[name].astype(np.float64)[live.site], number).astype(np.int64)
        for name in ("bytes_alloc", "bytes_req")
    )
    outstanding = np.bincount(owner, minlength=number)
    return frame.assign(
        outstanding=outstanding,
        objects=np.bincount(finding, minlength=number),
        bytes_alloc=bytes_alloc,
        bytes_req=bytes_req,
        bytes_each=bytes_alloc / np.maximum(outstanding, 1),
        caches=pd.Series(_caches(kept, groups, verdicts), dtype=object),
    )


def _caches(kept: Kept, groups: Groups, verdicts: Verdicts) -> list[list[str]]:
    """The names of the caches of each finding's parts, the owner's first, then by bytes."""
    live, names = kept.objects.live, kept.caches.names
    caches = np.int64(len(names) + 1)
    key = verdicts.owned.finding * caches + kept.caches.of_site[live.site]
    keys, which = np.unique(key, return_inverse=True)
    size = np.bincount(which, kept.sites["bytes_alloc"].astype(np.float64)[live.site])
    found = [[names[groups.cache[owner]]] for owner in verdicts.owned.owner.tolist()]
    for at in np.argsort(-size, kind="stable").tolist():
        finding, name = int(keys[at] // caches), names[int(keys[at] % caches)]
        if name not in found[finding]:
            found[finding].append(name)
    return found


def _parts(frame: pd.DataFrame, kept: Kept, lookup: Lookup, verdicts: Verdicts) -> list[list[str]]:
    """The caches of each finding's parts with what is in them, in the order of `caches`."""
    live, names = kept.objects.live, kept.caches.names
    number = np.int64(len(names) + 1)
    member = verdicts.owned.finding * number + kept.caches.of_site[live.site]
    keys, which = np.unique(member, return_inverse=True)
    objects = lookup.objects_of(kept.sites, kept.caches, kept.objects.held)
    of_part = dict(zip(keys.tolist(), objects.of_groups(which, live.site, np.arange(len(keys))), strict=True))
    row = {name: at for at, name in enumerate(names)}
    return [
        [
            shown(
                cache,
                kept.caches.aliases[row[cache]],
                of_part.get(at * int(number) + row[cache], ""),
                brief=True,
            )
            if place
            else shown(cache, finding["aliases"], finding["object"], finding["symbol"])
            for place, cache in enumerate(finding["caches"])
        ]
        for at, finding in enumerate(frame.to_dict("records"))
    ]


def _described(frame: pd.DataFrame, kept: Kept, lookup: Lookup, verdicts: Verdicts) -> pd.DataFrame:
    """Who allocated the objects, when, and how sure it is that they were not freed."""
    live, finding, every = kept.objects.live, verdicts.owned.finding, np.arange(len(frame))
    oldest, newest = ages_of(live.ts_ns - lookup.started_ns, finding, every)
    allocated_by = tasks_of(live, finding, every, lookup.tasks)._asdict()
    identities = Identities(live, lookup.tasks, lookup.processes)
    bounds = verdicts.bounds
    maybe = [None if n == NO_BOUND else n for n in bounds.maybe_freed.tolist()]
    return frame.assign(
        **identities.columns(finding, every),
        charged=pd.Series(charged(live, finding, len(frame), lookup), dtype=object),
        oldest_ns=oldest,
        newest_ns=newest,
        **{name: pd.Series(column, dtype=object) for name, column in allocated_by.items()},
        own=own_of(live, finding, every, lookup),
        confidence=confidence_of(bounds.maybe_freed, bounds.assumed),
        maybe_freed=pd.array(maybe, "Int64"),
        in_use=bounds.in_use,
    )


def _held(frame: pd.DataFrame, verdicts: Verdicts) -> pd.DataFrame:
    """What the inspection says of the owners of each finding."""
    return frame.assign(
        inspected=np.array([each.inspected for each in verdicts.held], np.int64),
        lost=np.array([each.lost for each in verdicts.held], np.int64),
        held=pd.Series([each.held for each in verdicts.held], dtype=object),
        held_by=pd.Series([list(each.held_by) for each in verdicts.held], dtype=object),
    )


def _words(frame: pd.DataFrame, verdicts: Verdicts) -> tuple[list[str], list[str]]:
    """(why, what next) of each finding."""
    reasons = ["" if each is None else each.reason for each in verdicts.designs]
    said = {name: [getattr(each, name) for each in verdicts.results] for name in ("bursts", "ended")}
    said |= {"remedy": [each.next for each in verdicts.doubts]}
    said |= {"fate": [None if each is None else each.fate for each in verdicts.designs]}
    rows = frame.assign(known=reasons, of_task=verdicts.task != ANY, **said).to_dict("records")
    return [why.why(each) for each in rows], [why.what_next(each) for each in rows]


def _order(frame: pd.DataFrame) -> Positions:
    """The order to look at findings: by class, of each what is lost first; then by least growth, or bytes."""
    grows = frame["class"].isin([SUSPECT, GROWING])
    weight = frame["growth_low"].where(grows, frame["bytes_alloc"])
    grave = [CLASSES.index(each) for each in frame["class"]]
    found = (frame["held"] != LOST).to_numpy(bool)
    keys = [-frame["bytes_alloc"].to_numpy(), -weight.to_numpy(), found, np.array(grave)]
    order: Positions = np.lexsort([*keys, frame["own"].to_numpy(bool)])
    return order


def _longer(frame: pd.DataFrame, tests: int, length_ns: int) -> NDArray[np.float64]:
    """How much longer (ns) the recording would have to be to decide; NaN where more time does not help."""
    longer = np.full(len(frame), np.nan)
    numbers = zip(frame["class"], frame["old"], frame["older_freed"], frame["dispersion"], strict=True)
    for at, (class_, kept, gone, spread) in enumerate(numbers):
        if class_ == GROWING:
            longer[at] = 3 * length_ns
        elif class_ == YOUNG:
            factor = factor_to_decide(kept, gone, spread, tests) if kept else None
            longer[at] = np.nan if factor is None else (factor - 1) * length_ns
    return longer
