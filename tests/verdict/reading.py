# SPDX-License-Identifier: Apache-2.0
"""A kept run judged: its trace is opened as a user would, and its findings meet the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slabtrace
from slabtrace.api import Trace
from tests.verdict.catalogue import NAMED
from tests.verdict.judging import OFF, Outcome, judge, least_off
from tests.verdict.kept import Kept
from tests.verdict.truth import truth


def judge_kept(path: Path) -> Outcome:
    """The outcome of the run whose NAME.json is at `path`."""
    kept = Kept.load(path)
    scenario = NAMED[kept.scenario]
    trace = slabtrace.open(path.parent / kept.trace)
    begin, end = trace.span_ns
    if (part := trace.manifest.part) is not None:  # it knows what is outstanding of all parts
        begin = part.series_started_ns
    between = None
    if scenario.between is not None:
        times = [round(each * 1e9) for each in scenario.between]
        begin, end, between = begin + times[0], begin + times[1], (times[0], times[1])
    of_it = truth(scenario, kept, begin, end)
    outcome = judge(scenario, of_it, findings(trace, between))
    if outcome.off is not None and abs(outcome.off) > OFF:
        own = findings(trace, between, kept.pids)
        offs = [least_off(of_it, each) for each in own if of_it.owner in each["caches"]]
        outcome.own_off = min(offs, key=abs, default=None)
    if scenario.also_first:
        first = trace.window(0, round(scenario.also_first * 1e9))
        part_of = judge(scenario, truth(scenario, kept, *first.span_ns), findings(first))
        outcome.wrong += [f"first {scenario.also_first:g} s: {each}" for each in part_of.wrong]
    return outcome


def findings(
    trace: Trace, between: tuple[int, int] | None = None, pids: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """Rows of Trace.findings(); of a version that has none yet, those of leaks(), each as a finding."""
    if hasattr(trace, "findings"):
        rows: list[dict[str, Any]] = trace.findings(pids, between=between).to_dict("records")
        return rows
    groups = trace.leaks("stack", pids, between=between).to_dict("records")
    unknown = {"rate_low": float("nan"), "rate_high": float("nan")}
    return [{**unknown, **each, "caches": [each["cache"]]} for each in groups if not each["own"]]
