# SPDX-License-Identifier: Apache-2.0
"""The outcomes of many runs as Markdown: what was found of each scenario, error rate and power.

Power is the share of the runs of leaks whose first finding is a suspect; the error rate is the share of the
runs of flat loads in which there is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.verdict.catalogue import ALL, ASIDE
from tests.verdict.judging import Outcome
from tests.verdict.scenario import Scenario


def markdown(outcomes: Sequence[Outcome]) -> str:
    """A table of the scenarios that leak, one of the flat ones, and the rates."""
    parts = [_rates(outcomes)]
    for truth, heading in (("leak", "Leaks"), ("flat", "Flat loads")):
        rows = [_row(each, outcomes) for each in ALL if each.truth == truth]
        head = "| scenario | what happens | passed | first finding | bytes off | other suspects |"
        parts.append("\n".join([f"## {heading}", "", head, "|---|---|--:|---|--:|---|", *filter(None, rows)]))
    return "\n\n".join(parts) + "\n"


def _rates(outcomes: Sequence[Outcome]) -> str:
    lines = ["| half | leaks: passed | leaks: first is a suspect | flat: passed | flat: with a suspect |"]
    lines.append("|---|--:|--:|--:|--:|")
    for name, aside in (("for tuning", False), ("aside", True)):
        half = [each for each in outcomes if (each.scenario in ASIDE) == aside]
        leaks = [each for each in half if each.truth == "leak"]
        flat = [each for each in half if each.truth == "flat"]
        cells = (
            _share(each.passed for each in leaks),
            _share(each.first_class == "suspect" for each in leaks),
            _share(each.passed for each in flat),
            _share(bool(each.others) for each in flat),
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(flags: Iterable[bool]) -> str:
    every = list(flags)
    return f"{sum(every)} of {len(every)}"


def _row(scenario: Scenario, outcomes: Sequence[Outcome]) -> str:
    """Empty where it was not run."""
    runs = [each for each in outcomes if each.scenario == scenario.name]
    if not runs:
        return ""
    name = f"{scenario.name}{' (aside)' if scenario.name in ASIDE else ''}"
    passed = f"{sum(each.passed for each in runs)} of {len(runs)}"
    firsts = Counter(each.first_class for each in runs)
    classes = ", ".join(f"{kind} {count}" for kind, count in firsts.items())
    offs = [each.off for each in runs if each.off is not None]
    worst = f"{max(offs, key=abs):+.1%}" if offs else ""
    others = sum(len(each.others) for each in runs) or ""
    return f"| {name} | {scenario.what} | {passed} | {classes} | {worst} | {others} |"
