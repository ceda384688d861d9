# SPDX-License-Identifier: Apache-2.0
"""The one-page report: what its template shows, made of a trace's tables.

The page is short however long the trace is: it has the gravest findings, the busiest caches, and graphs of
a fixed number of frames, and says how much is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slabtrace.analysis.freeing.words import siblings
from slabtrace.analysis.holders.classes import summary
from slabtrace.analysis.leaks.findings import cards
from slabtrace.analysis.names.objects import shown
from slabtrace.render.html.flame import flame_graph
from slabtrace.render.html.page import render
from slabtrace.render.html.spark import spark
from slabtrace.render.terminal.info import fields
from slabtrace.render.terminal.machine.account import changed, pace
from slabtrace.render.terminal.machine.account import shown as account_rows
from slabtrace.render.terminal.mismatches import DOUBLE, SINGLE, confidence, unsupported
from slabtrace.render.terminal.outstanding.findings import (
    GROWS,
    IN_HEADLINE,
    amount,
    caches,
    claim_of_all,
    owner_stack_of,
)
from slabtrace.render.terminal.outstanding.leaks import by_whom
from slabtrace.render.terminal.outstanding.who import identity
from slabtrace.render.terminal.reconcile import match
from slabtrace.render.terminal.sampling import estimated
from slabtrace.units import count, growth, size, unknown

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from slabtrace.analysis.leaks.verdict import Verdict
    from slabtrace.trace.manifest import Manifest

CARDS, OTHERS, MISMATCHES, CACHES = 20, 60, 20, 250  # shown at most
SPARK_POINTS = 60
ITEMS = 8  # of a part of memory
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
    findings: pd.DataFrame
    verdict: Verdict
    leaks: pd.DataFrame
    arrivals: pd.DataFrame
    mismatches: pd.DataFrame
    unsupported: tuple[int, str]  # how many mismatches missed events explain, and why events are missing
    caches: pd.DataFrame
    copies: Mapping[str, Sequence[str]]  # caches that are sums of these
    usage: pd.DataFrame
    stack_totals: pd.DataFrame
    account: pd.DataFrame
    memory: Sequence[str]  # what the account of memory says
    lines: str = ""  # with source lines: which frames have none, as a sentence
    inspected: pd.DataFrame | None = None  # what objects are and who holds them (columns.OBJECTS)


def report(
    name: str, version: str, tables: Tables, plots: Sequence[Plot], memory_plot: Plot | None = None
) -> bytes:
    """The page about the trace called `name`, made by slabtrace `version`, as UTF-8."""
    carded, busy = cards(tables.findings, GROWS), _busy(tables.caches)
    first, others = tables.findings[carded], tables.findings[~carded]
    others = others.sort_values(["own", "bytes_alloc"], ascending=[True, False], kind="stable")
    mismatches = tables.mismatches[tables.mismatches["supported"].astype(bool)]
    rises = _rises(tables.arrivals)
    return render(
        "report.html",
        version,
        name=name,
        tables=tables,
        outstanding=_outstanding(tables.leaks),
        cards=[_finding(row, rises, tables) for row in first.head(CARDS).to_dict("records")],
        hidden_cards=max(len(first) - CARDS, 0),
        others=[_finding(row, rises, tables) for row in others.head(OTHERS).to_dict("records")],
        hidden_others=max(len(others) - OTHERS, 0),
        mismatches=[_mismatch(row) for row in mismatches.head(MISMATCHES).to_dict("records")],
        mismatches_in_all=len(mismatches),
        hidden_mismatches=max(len(mismatches) - MISMATCHES, 0),
        unsupported=unsupported(*tables.unsupported),
        caches=_caches(busy.head(CACHES), tables.usage),
        hidden_caches=max(len(tables.caches) - CACHES, 0) if len(busy) > CACHES else 0,
        idle_caches=len(tables.caches) - len(busy),
        plots=plots,
        account=[_of_memory(row) for row in account_rows(tables.account, ITEMS)],
        memory_plot=memory_plot,
        flames=[(what, words, flame_graph(tables.stack_totals, what)) for what, words in FLAMES],
        environment=[
            *fields(name, tables.manifest, tables.completeness, tables.length_ns, tables.marks),
            *([("source lines", tables.lines.removeprefix("source lines: "))] if tables.lines else []),
        ],
    )


def _outstanding(groups: pd.DataFrame) -> str:
    """As "1,234 objects, 64.0 KiB"; of a sample, what they stand for."""
    sampled = "outstanding_estimate" in groups
    names = ("outstanding_estimate", "bytes_estimate") if sampled else ("outstanding", "bytes_alloc")
    objects, held = (groups[name].sum() for name in names)
    return f"{'about ' if sampled else ''}{count(objects)}, {size(held)}"


def _finding(row: dict[Any, Any], rises: Mapping[Any, Sequence[float]], tables: Tables) -> dict[Any, Any]:
    """A finding with its sentences, and the sparkline of when its owners came."""
    label = "When the outstanding objects were allocated, from the start of the recording to its end"
    sampled = "outstanding_estimate" in row
    return {
        **row,
        "spark": spark(rises.get(_key(row), []), label, from_zero=True),
        "rate": growth(row["growth_bytes_per_s"]) if row["class"] in GROWS else "",
        "parts": caches(row),
        "name": shown(row["cache"], row["aliases"], row["object"], brief=True),
        "amount": amount(row),
        "number": estimated(row, "outstanding") if sampled else count(row["objects"]),
        "bytes": row["bytes_estimate"] if sampled else row["bytes_alloc"],
        "sampled": owner_stack_of(row),
        "who": by_whom(row),
        "siblings": _sentence(siblings(row)),
        "identity": identity(row),
        "inspected": _inspected(row, tables),
        "held_words": IN_HEADLINE.get(str(row.get("held", "")), ""),
        "claim": claim_of_all(row, tables.completeness),
    }


def _inspected(row: dict[Any, Any], tables: Tables) -> list[str]:
    """Lines on the objects of a finding that were inspected when the recording ended."""
    if tables.inspected is None:
        return []
    mine = tables.inspected[tables.inspected["finding"] == row["rank"]]
    return summary(mine.to_dict("records"))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _rises(arrivals: pd.DataFrame) -> dict[Any, Sequence[float]]:
    return {_key(row): row["objects"] for row in arrivals.to_dict("records")}


def _key(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return row["cache"], row["call_site"], tuple(row["stack"])


def _mismatch(row: dict[Any, Any]) -> dict[Any, Any]:
    """A mismatch with the events that contradict each other, in time order."""
    words = DOUBLE if isinstance(row.get("second_free"), dict) else SINGLE
    events = [(happened, row[key]) for key, happened in words if isinstance(row.get(key), dict)]
    known = {key: None if unknown(row.get(key)) else row[key] for key in ("offset", "named_cache")}
    return {**row, **known, "sure": confidence(row), "events": events}


def _of_memory(row: dict[Any, Any]) -> dict[Any, Any]:
    """A row of the account of memory, in words."""
    in_trace = "" if unknown(row["traced"]) else changed(row["traced"])
    return {**row, "changed": changed(row["change"]), "pace": pace(row), "in_trace": in_trace}


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
