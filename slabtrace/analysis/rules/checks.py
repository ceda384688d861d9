# SPDX-License-Identifier: Apache-2.0
"""Rules for a trace, and what breaks them.

[check]
max_suspects = 0            # findings of the class suspect
max_growth = "1 MiB/min"    # of a suspect or growing finding, where the lower end of its growth exceeds it
max_outstanding = "64 MiB"  # of all findings together
max_mismatches = 0          # double, invalid and wrong-cache frees that the evidence supports
max_lost = 0                # events
exact = true                # no event can have been missed
reclaimable = true          # max_growth and max_outstanding count reclaimable findings as well
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.columns import BROKEN_RULES
from slabtrace.errors import UsageError
from slabtrace.trace.format.foreign import UNKNOWN_LOSSES
from slabtrace.units import count, parse_growth, parse_size, plural, size
from slabtrace.units import growth as growth_text

COLUMNS = BROKEN_RULES.names
OF_FINDING = COLUMNS[2:]
UNCOUNTED = "how many events were lost is not known"
ABOUT_LEAKS = ("max_suspects", "max_growth", "max_outstanding")
GROWS, RECLAIMABLE = ("suspect", "growing"), "reclaimable"


@dataclass
class Rules:
    """The limits; None: no limit.  `max_growth`: bytes a second; `max_outstanding`: bytes.

    `reclaimable` is no limit: whether reclaimable findings count.
    """

    max_suspects: int | None = None
    max_growth: float | None = None
    max_outstanding: float | None = None
    max_mismatches: int | None = None
    max_lost: int | None = None
    exact: bool = False
    reclaimable: bool = False

    @property
    def any(self) -> bool:
        """Whether there is any limit."""
        return replace(self, reclaimable=False) != Rules()

    @property
    def asked(self) -> list[str]:
        """The names of the limits."""
        values = vars(replace(self, reclaimable=False))
        return [name for name, value in values.items() if value is not None and value is not False]


@dataclass
class NotCounted:
    """What no rule counted: findings, bytes of all their outstanding objects, and mismatches.

    `growing`: findings of that class where max_suspects is asked for and max_growth is not.
    """

    reclaimable: int = 0
    reclaimable_bytes: int = 0
    own: int = 0
    growing: int = 0
    mismatches: int = 0


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
    rules: Rules,
    findings: pd.DataFrame,
    mismatches: pd.DataFrame | None,
    completeness: Any,
    one_in: int = 1,
) -> pd.DataFrame:
    """What breaks the rules, one row each: COLUMNS; empty if nothing does.

    `findings`: rows of Trace.findings(), suppressed ones left out; those of slabtrace itself never count,
    reclaimable ones if the rules say so.  Their growth is that of all objects; outstanding bytes of a sample
    of one in `one_in` are multiplied here.  `mismatches`: of Trace.mismatches(), needed where a rule is about
    them.
    """
    if completeness.no_leak_list and (about := [each for each in ABOUT_LEAKS if each in rules.asked]):
        why = " ".join(completeness.no_leak_list)
        found = [{"rule": each, "finding": f"cannot be checked: {why}"} for each in about]
    else:
        found = []
    counted = findings[_counted(rules, findings)]
    found += [*_suspects(rules, counted), *_growing(rules, counted), *_outstanding(rules, counted, one_in)]
    if mismatches is not None:
        found += _mismatches(rules, mismatches)
    if rules.max_lost is not None and (completeness.losses == UNKNOWN_LOSSES or completeness.uncounted):
        found.append({"rule": "max_lost", "finding": f"cannot be checked: {UNCOUNTED}"})
    elif rules.max_lost is not None and completeness.lost > rules.max_lost:
        found.append({"rule": "max_lost", "finding": f"{plural(completeness.lost, 'event')} lost"})
    if rules.exact and not completeness.exact:
        found.append({"rule": "exact", "finding": completeness.verdict})
    return pd.DataFrame(found, columns=list(COLUMNS))


def not_counted(
    rules: Rules, findings: pd.DataFrame, mismatches: pd.DataFrame | None, one_in: int = 1
) -> NotCounted:
    """What the rules left out; the parameters are those of `broken`."""
    own = findings["own"].to_numpy(bool)
    others = findings[~own & ~_counted(rules, findings)]
    growing = rules.max_suspects is not None and rules.max_growth is None
    return NotCounted(
        reclaimable=len(others),
        reclaimable_bytes=int(others["bytes_alloc"].sum()) * one_in,
        own=int(own.sum()),
        growing=int(((findings["class"] == "growing") & ~own).sum()) if growing else 0,
        mismatches=0 if mismatches is None else int((~_supported(mismatches)).sum()),
    )


def _counted(rules: Rules, findings: pd.DataFrame) -> NDArray[np.bool_]:
    """Which findings the rules are about."""
    reclaimable = (findings["class"] == RECLAIMABLE).to_numpy(bool)
    counted: NDArray[np.bool_] = ~findings["own"].to_numpy(bool) & (~reclaimable | rules.reclaimable)
    return counted


def _suspects(rules: Rules, findings: pd.DataFrame) -> list[dict[str, Any]]:
    suspects = findings[findings["class"] == "suspect"]
    if rules.max_suspects is None or len(suspects) <= rules.max_suspects:
        return []
    return [_row("max_suspects", f"suspect, {_grows(each)}", each) for each in _records(suspects)]


def _growing(rules: Rules, findings: pd.DataFrame) -> list[dict[str, Any]]:
    if rules.max_growth is None:
        return []
    classes = (*GROWS, RECLAIMABLE) if rules.reclaimable else GROWS
    growing = findings[(findings["growth_low"] > rules.max_growth) & findings["class"].isin(classes)]
    return [_row("max_growth", _grows(each), each) for each in _records(growing)]


def _outstanding(rules: Rules, findings: pd.DataFrame, one_in: int) -> list[dict[str, Any]]:
    total = int(findings["bytes_alloc"].sum()) * one_in
    if rules.max_outstanding is None or total <= rules.max_outstanding:
        return []
    objects = count(int(findings["objects"].sum()) * one_in)
    estimated = " (estimated from a sample)" if one_in > 1 else ""
    text = f"{size(total)} in {objects} objects outstanding{estimated}"
    return [{"rule": "max_outstanding", "finding": text}]


def _mismatches(rules: Rules, mismatches: pd.DataFrame) -> list[dict[str, Any]]:
    supported = mismatches[_supported(mismatches)]
    if rules.max_mismatches is None or len(supported) <= rules.max_mismatches:
        return []
    return [
        {"rule": "max_mismatches", "finding": each["kind"], "cache": each["cache"]}
        for each in _records(supported)
    ]


def _supported(mismatches: pd.DataFrame) -> NDArray[np.bool_]:
    """Which mismatches the evidence supports; all, if nothing says which."""
    if "supported" not in mismatches:
        return np.ones(len(mismatches), bool)
    return mismatches["supported"].to_numpy(bool)


def _grows(finding: dict[Any, Any]) -> str:
    """How fast a finding grows, at least."""
    least = growth_text(max(finding["growth_low"], 0.0))
    return f"grows by {growth_text(finding['growth_bytes_per_s'])} (at least {least})"


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.to_dict("records")


def _row(rule: str, finding: str, of: dict[Any, Any]) -> dict[str, Any]:
    return {"rule": rule, "finding": finding, **{name: of[name] for name in OF_FINDING}}


def _value(name: str, value: Any, origin: str) -> Any:
    if name in ("max_growth", "max_outstanding"):
        text = str(value)
        return growth(text) if name == "max_growth" else amount(text)
    wanted = bool if name in ("exact", "reclaimable") else int
    if type(value) is not wanted or value < 0:
        raise UsageError(
            f"{origin}: {name} = {value!r} must be {'true or false' if wanted is bool else 'a whole number'}"
        )
    return value
