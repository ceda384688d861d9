# SPDX-License-Identifier: Apache-2.0
"""The outcomes in words: a line each, JSON, and the tables of a report."""

from __future__ import annotations

import json
from pathlib import Path

from tests.verdict import table
from tests.verdict.catalogue import ALL, ASIDE
from tests.verdict.judging import Outcome
from tests.verdict.report import markdown

(LEAK,) = (each.name for each in ALL if each.name == "tcp-sockets")
(FLAT,) = (each.name for each in ALL if each.name == "message-ring")
OUTCOMES = [
    Outcome(LEAK, "leak", [], "suspect TCP", "suspect", 0.01),
    Outcome(LEAK, "leak", ["bytes off by -40.0%"], "suspect TCP", "suspect", -0.4),
    Outcome(LEAK, "leak", ["first is retained"], "retained TCP", "retained"),
    Outcome(FLAT, "flat", [], "replacing msg_msg-128", "replacing"),
    Outcome(FLAT, "flat", ["suspect: x"], "suspect x", "suspect", others=["x"]),
]


def test_a_line_has_what_was_wrong_below_it() -> None:
    passed, failed = table.line(OUTCOMES[0]), table.line(OUTCOMES[1])
    assert passed.startswith("pass leak tcp-sockets") and "+1.0%" in passed and "\n" not in passed
    assert failed.splitlines()[1:] == ["     bytes off by -40.0%"]
    own = Outcome(LEAK, "leak", ["bytes off by +40.0%"], "suspect TCP", "suspect", 0.4, 0.001)
    assert table.line(own).splitlines()[-1].endswith("own processes alone: off by +0.1%)")
    assert table.summary(OUTCOMES) == "leak: 1 of 3 passed, flat: 1 of 2 passed"


def test_json_says_what_passed_and_what_is_aside(tmp_path: Path) -> None:
    table.save(OUTCOMES, tmp_path / "runs.json")
    runs = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert [each["passed"] for each in runs] == [True, False, False, True, False]
    assert all(each["aside"] == (each["scenario"] in ASIDE) for each in runs)


def test_the_report_sums_up_the_runs_of_a_scenario() -> None:
    lines = markdown(OUTCOMES).splitlines()
    (leak,) = (each for each in lines if each.startswith(f"| {LEAK}"))
    assert leak.endswith("| 1 of 3 | suspect 2, retained 1 | -40.0% |  |")
    (flat,) = (each for each in lines if each.startswith(f"| {FLAT}"))
    assert flat.endswith("| 1 of 2 | replacing 1, suspect 1 |  | 1 |")


def test_power_and_error_rate_are_given_for_each_half() -> None:
    rates = [each for each in markdown(OUTCOMES).splitlines() if each.startswith(("| for tuning", "| aside"))]
    leaks, flat = ["1 of 3", "2 of 3"], ["1 of 2", "1 of 2"]
    none = ["0 of 0", "0 of 0"]
    for name, aside, line in (("for tuning", False, rates[0]), ("aside", True, rates[1])):
        here = [*(leaks if (LEAK in ASIDE) == aside else none), *(flat if (FLAT in ASIDE) == aside else none)]
        assert line == f"| {name} | {' | '.join(here)} |"
