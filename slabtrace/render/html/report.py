# SPDX-License-Identifier: Apache-2.0
"""The one-page report: what its template shows, made of a trace's tables.

The page is short however long the trace is: it has the worst groups, the busiest caches, and graphs of
a fixed number of frames, and says how much is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slabtrace.render.html.flame import flame_graph
from slabtrace.render.html.page import render
from slabtrace.render.html.spark import spark
from slabtrace.render.terminal.info import fields
from slabtrace.render.terminal.leaks import of_all, who
from slabtrace.render.terminal.mismatches import DOUBLE, SINGLE, confidence, unsupported
from slabtrace.render.terminal.reconcile import match
from slabtrace.render.terminal.sampling import stack_of
from slabtrace.render.terminal.verdict import claim
from slabtrace.units import unknown

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from slabtrace.trace.manifest import Manifest

GROUPS, FINDINGS, CACHES = 20, 20, 250
SPARK_POINTS = 60
FLAMES = (
    ("outstanding", "Allocated while recording and not freed by its end"),
    ("allocated", "All that was allocated"),
    ("churn", "Allocated and freed again while recording"),
)


@dataclass
class Plot:
    """A picture of the page: its heading and the SVG."""

    heading: str
    svg: Markup


@dataclass
class Tables:
    """Everything that a report shows: a Trace's tables, named as its methods."""

    manifest: Manifest
    length_ns: int
    damage: Sequence[str]
    marks: pd.DataFrame
    completeness: Any
    leaks: pd.DataFrame
    arrivals: pd.DataFrame
    mismatches: pd.DataFrame
    unsupported: tuple[int, str]  # how many mismatches missed events explain, and why events are missing
    caches: pd.DataFrame
    usage: pd.DataFrame
    stack_totals: pd.DataFrame


def report(name: str, version: str, tables: Tables, plots: Sequence[Plot]) -> bytes:
    """The page about the trace called `name`, made by slabtrace `version`, as UTF-8."""
    groups, caches = tables.leaks, _busy(tables.caches)
    findings = tables.mismatches[tables.mismatches["supported"].astype(bool)]
    return render(
        "report.html",
        version,
        name=name,
        tables=tables,
        groups=_groups(groups.head(GROUPS), tables),
        hidden_groups=max(len(groups) - GROUPS, 0),
        classes=_classes(groups),
        findings=[_finding(row) for row in findings.head(FINDINGS).to_dict("records")],
        mismatches=len(findings),
        hidden_findings=max(len(findings) - FINDINGS, 0),
        unsupported=unsupported(*tables.unsupported),
        caches=_caches(caches.head(CACHES), tables.usage),
        hidden_caches=max(len(tables.caches) - CACHES, 0) if len(caches) > CACHES else 0,
        idle_caches=len(tables.caches) - len(caches),
        plots=plots,
        flames=[(what, words, flame_graph(tables.stack_totals, what)) for what, words in FLAMES],
        environment=fields(name, tables.manifest, tables.completeness, tables.length_ns, tables.marks),
    )


def _classes(groups: pd.DataFrame) -> dict[str, int]:
    """How many groups each class has, suspects even if 0; empty if the groups have no classes."""
    found = groups["class"].dropna().value_counts()
    if found.empty:
        return {}
    return {"suspect": int(found.get("suspect", 0))} | {str(name): int(n) for name, n in found.items()}


def _groups(groups: pd.DataFrame, tables: Tables) -> list[dict[Any, Any]]:
    """The ranked groups, each with the sparkline of when its objects came."""
    rows = groups.to_dict("records")
    rises = {
        (row["cache"], row["call_site"], tuple(row["stack"])): row["objects"]
        for row in tables.arrivals.to_dict("records")
    }
    label = "When the outstanding objects were allocated, from the start of the recording to its end"
    return [
        {
            "why": "",
            **row,
            "class": None if unknown(row.get("class")) else row["class"],
            "score": None if unknown(row.get("score")) else row["score"],
            "spark": spark(_rise(row, rises), label, from_zero=True),
            "sampled": stack_of(row),
            "of_all": of_all(row),
            "who": who(row),
            "claim": claim(row, tables.completeness),
        }
        for row in rows
    ]


def _rise(row: dict[Any, Any], rises: Mapping[Any, Sequence[float]]) -> Sequence[float]:
    return rises.get((row["cache"], row["call_site"], tuple(row["stack"])), [])


def _finding(row: dict[Any, Any]) -> dict[Any, Any]:
    """A mismatch with the events that contradict each other, in time order."""
    words = DOUBLE if isinstance(row.get("second_free"), dict) else SINGLE
    events = [(happened, row[key]) for key, happened in words if isinstance(row.get(key), dict)]
    known = {key: None if unknown(row.get(key)) else row[key] for key in ("offset", "named_cache")}
    return {**row, **known, "sure": confidence(row), "events": events}


def _busy(caches: pd.DataFrame) -> pd.DataFrame:
    """The caches that saw an event, or of which the kernel's own count changed."""
    changed = (caches["slabinfo_end"] - caches["slabinfo_start"]).fillna(0) != 0
    return caches[(caches["allocs"] + caches["frees"] > 0) | changed.astype(bool)]


def _caches(caches: pd.DataFrame, usage: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows of the table of caches, each with the sparkline of its objects."""
    series = {str(name): rows["objects"].tolist() for name, rows in usage.groupby("cache")}
    return [
        {
            **row,
            "spark": spark(_fewer(series.get(row["cache"], [])), f"Objects of {row['cache']} in use"),
            "match": match(row),
        }
        for row in caches.to_dict("records")
    ]


def _fewer(values: Sequence[float]) -> list[float]:
    """SPARK_POINTS of them, evenly taken, the last included."""
    step = max(len(values) // SPARK_POINTS, 1)
    return list(values[step - 1 :: step])
