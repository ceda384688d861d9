# SPDX-License-Identifier: Apache-2.0
"""What the options of `slabtrace leaks` choose: findings and groups of a trace, filtered and in order."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from slabtrace.cli import filters

if TYPE_CHECKING:
    import pandas as pd

    from slabtrace.analysis.rules.suppressions import Suppressions, Used
    from slabtrace.api import Trace

SORT_KEYS = {"bytes": "bytes_alloc", "objects": "outstanding"}  # growth and age: see in_order


class Chosen(NamedTuple):
    """What the options choose.  `by`: of groups, None for findings; `between`: two moments.

    `objects`: how many objects of each finding to list; `summed`: copies of a kmalloc cache are one row.
    """

    by: str | None
    sort: str
    caches: tuple[str, ...]
    call_site: str | None
    pids: tuple[int, ...]
    comms: tuple[str, ...]
    min_outstanding: int
    classes: tuple[str, ...]
    between: tuple[str | int, str | int] | None
    objects: int | None = None
    summed: bool = False
    cgroups: tuple[str, ...] = ()

    @property
    def question(self) -> dict[str, Any]:
        """The parameters of Trace.findings()."""
        return {"pid": self.pids, "comm": self.comms, "between": self.between, "cgroup": self.cgroups}


def findings_chosen(opened: Trace, findings: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    """The rows of `findings` that are asked for: one of their parts matches the filters of groups."""
    if chosen.caches or chosen.call_site:
        parts = _matching(opened, opened.leaks("stack", **chosen.question), chosen)
        wanted = set(parts["rank"].tolist())
        findings = findings[[not wanted.isdisjoint(each) for each in findings["groups"]]]
    return _of_class(findings, chosen)


def groups_chosen(
    opened: Trace, chosen: Chosen, rules: Suppressions
) -> tuple[pd.DataFrame, pd.DataFrame, list[Used]]:
    """All groups, those asked for, and what each suppression removed of these."""
    everything = opened.leaks(chosen.by or "stack", **chosen.question, sum_copies=chosen.summed)
    groups = _of_class(_matching(opened, everything, chosen), chosen)
    return everything, *rules.apply(in_order(groups, chosen.sort))


def _matching(opened: Trace, groups: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    named = opened.summed() if chosen.summed else opened
    return filters.by_call_site(filters.chooser(named, chosen.caches)(groups), chosen.call_site)


def _of_class(rows: pd.DataFrame, chosen: Chosen) -> pd.DataFrame:
    if chosen.min_outstanding > 1:
        rows = rows[rows["outstanding"] >= chosen.min_outstanding]
    return rows[rows["class"].isin(list(chosen.classes))] if chosen.classes else rows


def cards_first(findings: pd.DataFrame, sort: str, classes: Collection[str]) -> pd.DataFrame:
    """Findings that are cards, sorted; then the others, by bytes unless asked otherwise, own last."""
    from slabtrace.analysis.leaks.findings import cards

    carded = cards(findings, classes)
    rest = in_order(findings[~carded], "bytes" if sort == "rank" else sort)
    order = [*in_order(findings[carded], sort).index, *rest.sort_values("own", kind="stable").index]
    return findings.loc[order]


def in_order(rows: pd.DataFrame, sort: str) -> pd.DataFrame:
    """`rows`, which are in the order of their rank, in the order asked for."""
    if sort == "rank":
        return rows
    if sort == "age":
        return rows.sort_values("oldest_ns", kind="stable")
    if sort == "growth":  # as the tables show it: only where it is certain
        certain = rows["growth_bytes_per_s"].where(rows["growth_low"] > 0)
        return rows.loc[certain.sort_values(ascending=False, kind="stable").index]
    return rows.sort_values(SORT_KEYS[sort], ascending=False, kind="stable")
