# SPDX-License-Identifier: Apache-2.0
"""Rules for a trace, and what breaks them.

[check]
max_suspects = 0            # groups of the class suspect
max_growth = "1 MiB/min"    # of any group, where the lower bound of its growth exceeds it
max_outstanding = "64 MiB"  # of all groups together
max_mismatches = 0          # double, invalid and wrong-cache frees that the evidence supports
max_lost = 0                # events
exact = true                # no event can have been missed
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from slabtrace.columns import BROKEN_RULES
from slabtrace.errors import UsageError
from slabtrace.units import count, parse_growth, parse_size, plural, size

COLUMNS = BROKEN_RULES.names


@dataclass
class Rules:
    """The limits; None: no limit.  `max_growth`: bytes a second; `max_outstanding`: bytes."""

    max_suspects: int | None = None
    max_growth: float | None = None
    max_outstanding: float | None = None
    max_mismatches: int | None = None
    max_lost: int | None = None
    exact: bool = False

    @property
    def any(self) -> bool:
        """Whether there is any rule."""
        return self != Rules()


def parse(table: Any, origin: str) -> Rules:
    """The rules of a TOML table `check`.  Raises UsageError, naming `origin`, for anything else."""
    known = [each.name for each in fields(Rules)]
    if not isinstance(table, dict) or set(table) - set(known):
        unknown = sorted(set(table) - set(known)) if isinstance(table, dict) else ["check is not a table"]
        raise UsageError(f"{origin}: no such rule: {', '.join(unknown)}", f"rules are {', '.join(known)}")
    rules = Rules()
    for name, value in table.items():
        setattr(rules, name, _value(name, value, origin))
    return rules


def growth(text: str) -> float:
    """Bytes a second of "1 MiB/min", "300/s" (bytes).  Raises UsageError for anything else."""
    try:
        return parse_growth(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def amount(text: str) -> float:
    """Bytes of "64 MiB", "512".  Raises UsageError for anything else."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def broken(
    rules: Rules, groups: pd.DataFrame, mismatches: pd.DataFrame | None, completeness: Any
) -> pd.DataFrame:
    """What breaks the rules, one row each: COLUMNS; empty if nothing does.

    `groups`: rows of Trace.leaks(), suppressed ones left out; those of slabtrace itself never count.
    `mismatches`: of Trace.mismatches(), needed where a rule is about them.
    """
    others = groups[~groups["own"].astype(bool)]
    found = [*_suspects(rules, others), *_growing(rules, others), *_outstanding(rules, others)]
    if mismatches is not None:
        found += _wrong_frees(rules, mismatches[mismatches["supported"].astype(bool)])
    if rules.max_lost is not None and completeness.lost > rules.max_lost:
        found.append({"rule": "max_lost", "finding": f"{plural(completeness.lost, 'event')} lost"})
    if rules.exact and not completeness.exact:
        found.append({"rule": "exact", "finding": completeness.verdict})
    return pd.DataFrame(found, columns=list(COLUMNS))


def _suspects(rules: Rules, groups: pd.DataFrame) -> list[dict[str, Any]]:
    suspects = groups[groups["class"] == "suspect"]
    if rules.max_suspects is None or len(suspects) <= rules.max_suspects:
        return []
    return [_row("max_suspects", f"suspect, score {each['score']:.2f}", each) for each in _records(suspects)]


def _growing(rules: Rules, groups: pd.DataFrame) -> list[dict[str, Any]]:
    if rules.max_growth is None:
        return []
    growing = groups[(groups["growth_low"] > rules.max_growth) & (groups["class"] != "reclaimable")]
    return [
        _row("max_growth", f"grows by {size(60 * each['growth_bytes_per_s'])}/min", each)
        for each in _records(growing)
    ]


def _outstanding(rules: Rules, groups: pd.DataFrame) -> list[dict[str, Any]]:
    total = int(groups["bytes_alloc"].sum())
    if rules.max_outstanding is None or total <= rules.max_outstanding:
        return []
    objects = count(int(groups["outstanding"].sum()))
    return [{"rule": "max_outstanding", "finding": f"{size(total)} in {objects} objects outstanding"}]


def _wrong_frees(rules: Rules, mismatches: pd.DataFrame) -> list[dict[str, Any]]:
    if rules.max_mismatches is None or len(mismatches) <= rules.max_mismatches:
        return []
    return [
        {"rule": "max_mismatches", "finding": each["kind"], "cache": each["cache"]}
        for each in _records(mismatches)
    ]


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def _row(rule: str, finding: str, group: dict[Any, Any]) -> dict[str, Any]:
    return {"rule": rule, "finding": finding, **{name: group[name] for name in COLUMNS[2:]}}


def _value(name: str, value: Any, origin: str) -> Any:
    if name in ("max_growth", "max_outstanding"):
        text = str(value)
        return growth(text) if name == "max_growth" else amount(text)
    wanted = bool if name == "exact" else int
    if type(value) is not wanted or value < 0:
        raise UsageError(
            f"{origin}: {name} = {value!r} must be {'true or false' if wanted is bool else 'a whole number'}"
        )
    return value
