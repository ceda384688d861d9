# SPDX-License-Identifier: Apache-2.0
"""Two fleets, or one on two dates or with two builds: which issues came, went, or spread.

The shares of affected hosts, of those that could tell, are compared by Fisher's test, two-sided, corrected
over the issues that pass the gate on one side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slabtrace.analysis.statistics import fisher
from slabtrace.analysis.statistics.discovery import stand_out
from slabtrace.columns.fleet import FLEET_DIFF
from slabtrace.fleet.judging.ranking import FEW, ranked
from slabtrace.fleet.merging.hosts import Host, hosts_of
from slabtrace.fleet.merging.merged import Merged
from slabtrace.fleet.merging.presence import CLEAR, Issue, Presence, issues_of, presence

NEW, GONE, MORE, FEWER, SAME = "new", "gone", "more hosts", "fewer hosts", "same"
STATES = (NEW, MORE, GONE, FEWER, SAME)


def compared(old: Merged, new: Merged) -> dict[str, Any]:
    """The comparison as one JSON object; `issues` has columns.fleet.FLEET_DIFF, what became worse first."""
    sides = hosts_of(old.rows()), hosts_of(new.rows())
    wanted = {each.present.issue.signature for side in sides for each in ranked(side)[0] if each.gate != FEW}
    issues = [each for each in issues_of([*old.rows(), *new.rows()]) if each.signature in wanted]
    both = [(presence(each, sides[0]), presence(each, sides[1])) for each in issues]
    p = np.array([_p(*each) for each in both]).reshape(-1, 2)
    significant = stand_out(p[:, 0], p[:, 1]).tolist() if len(both) else []
    rows = [
        _row(issue, *each, float(its[0]), bool(found))
        for issue, each, its, found in zip(issues, both, p, significant, strict=True)
    ]
    rows.sort(
        key=lambda row: (
            not row["significant"],
            STATES.index(row["state"]),
            -row["growth_low_per_day_new"],
            row["signature"],
        )
    )
    return {
        "schema": "slabtrace.fleet-diff/1",
        "old": _side(sides[0], old),
        "new": _side(sides[1], new),
        "found": sum(row["significant"] and row["state"] in (NEW, MORE) for row in rows),
        "issues": [{name: row[name] for name in FLEET_DIFF.names} for row in rows],
    }


def _side(hosts: list[Host], merged: Merged) -> dict[str, int]:
    return {"hosts": len(hosts), "traces": len(merged.by_fingerprint)}


def _counts(present: Presence) -> tuple[int, int]:
    """Hosts affected and clear."""
    return len(present.deciding), len(present.hosts(CLEAR))


def _p(old: Presence, new: Presence) -> tuple[float, float]:
    """The probability of such a difference by chance, and the least that there could be."""
    (hits, clear), (others, other_clear) = _counts(new), _counts(old)
    drawn, marked, total = hits + clear, hits + others, hits + clear + others + other_clear
    if not drawn or drawn == total or not marked:
        return 1.0, 1.0
    ends = max(0, drawn + marked - total), min(drawn, marked)
    least = min(fisher.as_unlikely(each, drawn, marked, total) for each in ends)
    return fisher.as_unlikely(hits, drawn, marked, total), least


def _row(issue: Issue, old: Presence, new: Presence, p: float, significant: bool) -> dict[str, Any]:
    counts = {"old": _counts(old), "new": _counts(new)}
    row: dict[str, Any] = {
        "state": _state(counts["old"], counts["new"], significant),
        "significant": significant,
        "p": float(f"{p:.3g}"),
        "signature": issue.signature,
        "title": min(issue.suspects, key=lambda each: (each[0].facts["fingerprint"], each[1]))[1].title,
    }
    for side, present in (("old", old), ("new", new)):
        affected, clear = counts[side]
        row[f"affected_{side}"], row[f"clear_{side}"] = affected, clear
        row[f"unknown_{side}"] = len(present.states) - affected - clear
        row[f"growth_low_per_day_{side}"] = sum(grown.low for _, grown in present.deciding.values())
    return row


def _state(old: tuple[int, int], new: tuple[int, int], significant: bool) -> str:
    if not significant:
        return SAME
    if not old[0]:
        return NEW
    if not new[0]:
        return GONE
    return MORE if new[0] * sum(old) > old[0] * sum(new) else FEWER
