# SPDX-License-Identifier: Apache-2.0
"""The outcomes as a table, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.verdict.catalogue import ASIDE
from tests.verdict.judging import Outcome


def line(outcome: Outcome) -> str:
    """One outcome: how it went, then what was wrong, a line each."""
    off = "" if outcome.off is None else f"{outcome.off:+.1%}"
    aside = "aside" if outcome.scenario in ASIDE else ""
    head = (
        f"{'pass' if outcome.passed else 'FAIL':4} {outcome.truth:4} {outcome.scenario:18} {aside:5} {off:>7}"
    )
    wrong = [*outcome.wrong]
    if outcome.own_off is not None:
        wrong.append(f"(bytes of the load's own processes alone: off by {outcome.own_off:+.1%})")
    return "\n".join([f"{head}  {outcome.first}".rstrip(), *(f"     {each}" for each in wrong)])


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many passed, of leaks and of flat loads."""
    parts = []
    for truth in ("leak", "flat"):
        of_it = [each for each in outcomes if each.truth == truth]
        parts.append(f"{truth}: {sum(each.passed for each in of_it)} of {len(of_it)} passed")
    return ", ".join(parts)


def save(outcomes: Sequence[Outcome], path: Path) -> None:
    """All outcomes as JSON."""
    rows = [{**asdict(each), "passed": each.passed, "aside": each.scenario in ASIDE} for each in outcomes]
    path.write_text(json.dumps({"schema": "slabtrace.verdict/1", "runs": rows}, indent=1) + "\n")
