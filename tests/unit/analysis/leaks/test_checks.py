# SPDX-License-Identifier: Apache-2.0
"""Rules, suppressions, and the files they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slabtrace.analysis.leaks import checks, suppressions
from slabtrace.analysis.leaks.checks import Rules
from slabtrace.analysis.trust.completeness import Completeness
from slabtrace.cli.rules_file import read_suppressions
from slabtrace.errors import UsageError
from tests.unit.fake_trace import GROUPS

LEAKS = pd.DataFrame(GROUPS)  # a suspect of 41 pipes that certainly grows by 3,542 B/s; 23 young messages
COMPLETE = Completeness(exact=True)


def rules_broken(rules: Rules, groups: pd.DataFrame = LEAKS, completeness: Any = COMPLETE) -> list[str]:
    mismatches = pd.DataFrame(
        {"kind": ["double-free"] * 3, "cache": ["filp"] * 3, "supported": [False, True, False]}
    )
    return [str(each) for each in checks.broken(rules, groups, mismatches, completeness)["rule"]]


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        (Rules(), []),
        (Rules(max_suspects=0), ["max_suspects"]),
        (Rules(max_suspects=1), []),
        (Rules(max_growth=3500), ["max_growth"]),
        (Rules(max_growth=3600), []),  # the slope is above, its lower bound is not
        (Rules(max_outstanding=41 * 192 + 23 * 128), []),
        (Rules(max_outstanding=41 * 192 + 23 * 128 - 1), ["max_outstanding"]),
        (Rules(max_mismatches=0), ["max_mismatches"]),
        (Rules(max_mismatches=1), []),
        (Rules(max_lost=0, exact=True), []),
    ],
)
def test_rules(rules: Rules, broken: list[str]) -> None:
    assert rules_broken(rules) == broken


def test_losses_break_rules() -> None:
    lossy = Completeness(exact=False, dropped=3, verdict="3 events were dropped.")
    assert rules_broken(Rules(max_lost=2, exact=True), completeness=lossy) == ["max_lost", "exact"]
    assert rules_broken(Rules(max_lost=3), completeness=lossy) == []


def test_objects_of_slabtrace_break_no_rule() -> None:
    assert rules_broken(Rules(max_suspects=0, max_growth=1), LEAKS.assign(own=True)) == []


@pytest.mark.parametrize(
    ("text", "bytes_per_s"), [("1MiB/min", (1 << 20) / 60), ("20 KiB/s", 20480), ("3600B/h", 1), ("6/s", 6)]
)
def test_growths_are_parsed(text: str, bytes_per_s: float) -> None:
    assert checks.growth(text) == pytest.approx(bytes_per_s)


@pytest.mark.parametrize("text", ["", "fast", "1MiB", "1XB/s", "1/day", "-3/s"])
def test_invalid_growths(text: str) -> None:
    with pytest.raises(UsageError):
        checks.growth(text)


@pytest.mark.parametrize(
    "table",
    [{"max_leaks": 1}, {"max_suspects": "none"}, {"max_suspects": -1}, {"exact": 1}, {"max_growth": "x"}, 3],
)
def test_invalid_rules_are_reported(table: Any) -> None:
    with pytest.raises(UsageError):
        checks.parse(table, "rules.toml")


def test_rules_in_a_file() -> None:
    parsed = checks.parse({"max_suspects": 2, "max_growth": "60B/min", "exact": True}, "rules.toml")
    assert parsed == Rules(max_suspects=2, max_growth=1.0, exact=True)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ({"stack": ["alloc_pipe_info"]}, [2]),
        ({"stack": ["alloc_pipe_info", "do_pipe2"]}, [2]),  # other frames in between are allowed
        ({"stack": ["do_pipe2", "alloc_pipe_info"]}, [1, 2]),  # not in this order
        ({"stack": ["*pipe*"]}, [2]),
        ({"cache": "msg_msg-*"}, [1]),
        ({"module": "ipc"}, [1]),
        ({"module": "ipc", "cache": "kmalloc-*"}, [1, 2]),  # all conditions must match
    ],
)
def test_suppressions(rule: dict[str, Any], left: list[int]) -> None:
    kept, used = suppressions.parse([rule], "s.toml").apply(LEAKS)
    assert kept["rank"].tolist() == left
    gone = LEAKS[~LEAKS["rank"].isin(left)]
    assert (used[0].groups, used[0].objects) == (len(gone), gone["outstanding"].sum())


@pytest.mark.parametrize(
    "rules", [{}, "x", [{}], [{"name": "n"}], [{"stack": "f"}], [{"cache": 3}], [{"cache": "a", "typo": "b"}]]
)
def test_invalid_suppressions_are_reported(rules: Any) -> None:
    with pytest.raises(UsageError):
        suppressions.parse(rules, "s.toml")


NO_RULES = (
    "[[suppress]\n",
    "[other]\n",
    '[[suppress]]\nstack = "f"\n',
    "\xff",
    f"a = {'[' * 9999}",
    "#" * (1 << 21),
)


@pytest.mark.parametrize("content", NO_RULES, ids=range(len(NO_RULES)))
def test_invalid_files(tmp_path: Path, content: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match=r"s\.toml"):
        read_suppressions(str(file))
    with pytest.raises(UsageError, match="cannot be read"):
        read_suppressions(str(tmp_path / "missing.toml"))
