# SPDX-License-Identifier: Apache-2.0
"""A trace's digest as a table: a row of the trace, rows of its findings, rows of caches that changed.

All numbers are integers, so that digests can be added in any order with the same result.  A digest is
bounded: the findings that grow most certainly, then those with most bytes; how many are left out is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from slabtrace.analysis.leaks.findings import GROWING, SUSPECT
from slabtrace.columns.fleet import DIGEST
from slabtrace.fleet.digests.facts import per_day, text, trace_facts
from slabtrace.fleet.signatures.signature import signature
from slabtrace.units import unknown

if TYPE_CHECKING:
    from slabtrace.api import Trace

MOST_FINDINGS, MOST_CACHES = 4096, 512
MOST_FRAMES, MOST_STACK_TEXT = 64, 8_000
EMPTY: dict[str, Any] = {each.name: None if each.dtype == "Int64" else "" for each in DIGEST.columns}
EMPTY["local"] = False


def digest_frame(trace: Trace, name: str, fingerprint: str, most: int = MOST_FINDINGS) -> pd.DataFrame:
    """columns.fleet.DIGEST of `trace`, which is called `name`; rows of at most `most` findings."""
    findings = _own_last(trace.findings())
    facts = trace_facts(trace, name, fingerprint)
    rows = [_finding(row, facts) for row in findings.head(most).to_dict("records")]
    left_out = len(findings) - len(rows)
    same = {**facts, "findings": len(findings), "findings_left_out": left_out}
    caches = _caches(trace)
    return _typed([{**EMPTY, **same, **each} for each in ({"row": "trace"}, *rows, *caches)])


def _own_last(findings: pd.DataFrame) -> pd.DataFrame:
    """Without slabtrace's own; most certain growth first, then most bytes."""
    others = findings[~findings["own"].astype(bool)]
    grows = others["class"].isin([SUSPECT, GROWING])
    order = pd.DataFrame(
        {"growth": -others["growth_low"].where(grows, 0).clip(lower=0), "bytes": -others["bytes_alloc"]}
    )
    return others.loc[order.sort_values(["growth", "bytes"], kind="stable").index]


def _finding(row: dict[Any, Any], facts: dict[str, Any]) -> dict[str, Any]:
    whose = facts["host"] + facts["boot_id"] or facts["fingerprint"]
    named = signature(row["cache"], row["stack"], row["symbol"], row["aliases"], row["alias"], whose)
    end_ns = facts["end_ns"] - facts["begin_ns"]
    grows = row["class"] in (SUSPECT, GROWING)
    return {
        "row": "finding",
        "signature": named.issue,
        "variant": named.variant,
        "local": named.local,
        "title": text(named.title),
        "cache": text(row["cache"]),
        "family": text(named.family),
        "stack": _stack(row),
        "module": text(row["module"]),
        "object": text(row["object"]),
        "class": row["class"],
        "rank": int(row["rank"]),
        "outstanding": int(row["outstanding"]),
        "objects": int(row["objects"]) * facts["sample"],
        "bytes": int(row["bytes_alloc"]) * facts["sample"],
        **{f"rate{end}_per_day": _rate(row[f"rate{of}"], grows) for end, of in _ENDS.items()},
        **{f"growth{end}_per_day": _rate(row[_GROWTH[end]], grows) for end in _ENDS},
        "confidence": row["confidence"],
        "maybe_freed": None if unknown(row["maybe_freed"]) else int(row["maybe_freed"]),
        "in_use": int(row["in_use"]),
        "oldest_s": max(end_ns - int(row["oldest_ns"]), 0) // 10**9,
        **_whose(row),
        "doubt": text(row["doubt"]),
        "why": text(row["why"]),
    }


_ENDS = {"": "_per_s", "_low": "_low", "_high": "_high"}
_GROWTH = {"": "growth_bytes_per_s", "_low": "growth_low", "_high": "growth_high"}


def _rate(value: float, grows: bool) -> int | None:
    """A rate of what grows, a day; of what does not grow it would say nothing."""
    return max(per_day(value), 0) if grows and not unknown(value) else None


def _stack(row: dict[Any, Any]) -> str:
    frames = list(row["stack"]) or [row["symbol"]]
    lines = (text(each, 200).replace("\n", " ") for each in frames[:MOST_FRAMES])
    return "\n".join(lines)[:MOST_STACK_TEXT]


def _whose(row: dict[Any, Any]) -> dict[str, str]:
    """The first, which allocated most, of each."""
    names = {"command": [*row["commands"], *row["comms"]], "cgroup": row["cgroups"]}
    names |= {"unit": row["units"], "container": row["containers"]}
    return {name: text(next(iter(each), ""), 300) for name, each in names.items()}


def _caches(trace: Trace) -> list[dict[str, Any]]:
    """Caches of which the kernel's count changed, those that changed most first."""
    table = trace.reconciliation()
    changed = table[table["kernel"] != 0]
    order = changed["kernel"].abs().sort_values(ascending=False, kind="stable").index[:MOST_CACHES]
    chosen = changed.loc[order, ["cache", "kernel", "traced"]].itertuples(index=False, name=None)
    return [
        {"row": "cache", "cache": text(name), "kernel_change": int(kernel), "traced_change": int(traced)}
        for name, kernel, traced in chosen
    ]


def _typed(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(DIGEST.names), dtype=object)
    numbers = {each.name: each.dtype for each in DIGEST.columns if each.dtype != "text"}
    return frame.astype(numbers)
