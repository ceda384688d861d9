# SPDX-License-Identifier: Apache-2.0
"""The tables of findings and of groups, ranked: what matters first on top, slabtrace's own last."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.leaks import why
from slabtrace.analysis.leaks.findings import CLASSES, GROWING, SUSPECT
from slabtrace.analysis.leaks.judgement import Verdicts
from slabtrace.analysis.pairing.paired import Positions
from slabtrace.analysis.statistics.limits import factor_to_decide
from slabtrace.analysis.trust.confidence import BOUNDED, EXACT, UNPROVABLE
from slabtrace.columns import FINDINGS, LEAKS

OF_OWNER = (
    "cache", "call_site", "symbol", "stack", "module", "outstanding", "rate_per_s", "rate_low",
    "rate_high", "old", "old_freed", "older_freed", "horizon_ns", "sibling_ns", "dispersion", "p",
    "oldest_ns", "newest_ns", "comms", "pids", "own", "stack_of", "stacked", "stacks", "allocated",
    "freed",
)  # fmt: skip
SURENESS = (EXACT, BOUNDED, UNPROVABLE)


class Tables(NamedTuple):
    """`findings` and `groups` by stack, ranked: columns.FINDINGS, columns.LEAKS.  `rank`: of each finding."""

    findings: pd.DataFrame
    groups: pd.DataFrame
    rank: Positions


def tables(verdicts: Verdicts, length_ns: int, horizons: int) -> Tables:
    """The tables of what was found in so long a time, judged at so many horizons."""
    groups, finding = verdicts.groups, verdicts.finding
    frame = groups.iloc[verdicts.owner][list(OF_OWNER)].reset_index(drop=True)
    frame["class"] = verdicts.judged.classes
    frame["objects"], frame["bytes_alloc"] = (
        _summed(groups[name], finding) for name in ("outstanding", "bytes_alloc")
    )
    frame["bytes_each"] = frame["bytes_alloc"] / frame["outstanding"].clip(lower=1)
    frame["bytes_req"], frame["in_use"] = (_summed(groups[name], finding) for name in ("bytes_req", "in_use"))
    for name, rate in (
        ("growth_bytes_per_s", "rate_per_s"),
        ("growth_low", "rate_low"),
        ("growth_high", "rate_high"),
    ):
        frame[name] = frame[rate] * frame["bytes_each"]
    frame["confidence"] = _worst(groups, finding)
    frame["maybe_freed"] = _maybe_freed(groups, finding)
    frame["doubt"] = verdicts.doubts
    frame["bursts"] = [not each.steady and not each.ended for each in verdicts.results]
    frame["known"] = ["" if each is None else each.reason for each in verdicts.known]
    frame["longer_ns"] = _longer(frame, verdicts.judged.tests, length_ns, horizons)
    order = _order(frame)
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    groups = _ranked(groups.assign(finding=place[finding] + 1))
    frame = frame.iloc[order].reset_index(drop=True)
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    frame["groups"] = _members(groups, len(frame), "rank")
    frame["caches"] = [list(dict.fromkeys(names)) for names in _members(groups, len(frame), "cache")]
    rows = [{**each, "length_ns": length_ns} for each in frame.to_dict("records")]
    frame["why"] = [why.why(each) for each in rows]
    frame["next"] = [why.what_next(each) for each in rows]
    return Tables(frame[list(FINDINGS.names)], with_findings(groups, frame), place + 1)


def other_groups(groups: pd.DataFrame, made: Tables) -> pd.DataFrame:
    """Groups that are not by stack (judgement.of_other_groups), ranked."""
    rank = np.append(made.rank, 0)[groups["finding"].to_numpy(np.intp)]
    return with_findings(_ranked(groups.assign(finding=rank)), made.findings)


def with_findings(groups: pd.DataFrame, findings: pd.DataFrame) -> pd.DataFrame:
    """`groups` (column finding: a rank, 0 for none) with the class and the reason of their finding."""
    by_rank = findings.set_index("rank")
    known = groups["finding"].where(groups["finding"] > 0)
    frame = groups.assign(
        **{"class": known.map(by_rank["class"]).fillna("young"), "why": known.map(by_rank["why"]).fillna("")}
    )
    return frame[list(LEAKS.names)]


def _ranked(groups: pd.DataFrame) -> pd.DataFrame:
    last = groups["finding"].where(groups["finding"] > 0, len(groups) + 1)
    order = np.lexsort((-groups["bytes_alloc"], last, groups["own"].astype(bool)))
    ranked = groups.iloc[order].reset_index(drop=True)
    ranked.insert(0, "rank", np.arange(1, len(ranked) + 1))
    return ranked


def _order(frame: pd.DataFrame) -> Positions:
    """The order to look at findings: by class; what grows by its least growth, the rest by bytes."""
    grows = frame["class"].isin([SUSPECT, GROWING])
    weight = frame["growth_low"].where(grows, frame["bytes_alloc"])
    grave = [CLASSES.index(each) for each in frame["class"]]
    order: Positions = np.lexsort(
        [-frame["bytes_alloc"].to_numpy(), -weight.to_numpy(), np.array(grave), frame["own"].to_numpy(bool)]
    )
    return order


def _summed(column: pd.Series, finding: Positions) -> Counts:
    total = np.zeros(int(finding.max(initial=-1)) + 1, np.int64)
    np.add.at(total, finding, column.to_numpy(np.int64))
    return total


def _worst(groups: pd.DataFrame, finding: Positions) -> list[str]:
    rank = np.zeros(int(finding.max(initial=-1)) + 1, np.int64)
    np.maximum.at(rank, finding, [SURENESS.index(each) for each in groups["confidence"]])
    return [SURENESS[each] for each in rank.tolist()]


def _maybe_freed(groups: pd.DataFrame, finding: Positions) -> Any:
    total = _summed(groups["maybe_freed"].fillna(0), finding)
    missing = np.bincount(finding, groups["maybe_freed"].isna().to_numpy(), len(total)) > 0
    return pd.array(
        [None if gone else number for gone, number in zip(missing, total.tolist(), strict=True)], "Int64"
    )


def _members(groups: pd.DataFrame, findings: int, column: str) -> list[list[Any]]:
    """The values of a column of the groups of each finding, those with most bytes first."""
    members: list[list[Any]] = [[] for _ in range(findings)]
    for finding, value in zip(groups["finding"].tolist(), groups[column].tolist(), strict=True):
        if finding:
            members[finding - 1].append(value)
    return members


def _longer(frame: pd.DataFrame, tests: int, length_ns: int, horizons: int) -> NDArray[np.float64]:
    """How much longer (ns) the recording would have to be to decide; NaN where more time does not help."""
    longer = np.full(len(frame), np.nan)
    numbers = zip(frame["class"], frame["old"], frame["older_freed"], frame["dispersion"], strict=True)
    for at, (class_, kept, gone, spread) in enumerate(numbers):
        if class_ == GROWING:
            longer[at] = 3 * length_ns
        elif class_ == "young":
            factor = factor_to_decide(kept, gone, spread, tests, horizons) if kept else None
            longer[at] = np.nan if factor is None else (factor - 1) * length_ns
    return longer
