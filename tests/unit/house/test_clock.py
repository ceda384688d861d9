# SPDX-License-Identifier: Apache-2.0
"""A recording uses only CLOCK_MONOTONIC, so setting the time of day does not change it.

The tests read the sources: they cannot set the wall clock of a shared machine.
"""

from __future__ import annotations

import ast
import re

from tests.places import ROOT

WALL = {"time", "time_ns", "now", "today", "utcnow", "localtime", "gmtime"}  # of time and datetime


def wall_clock_uses(source: str) -> list[str]:
    """Names of the outermost functions and classes in which the wall clock is read."""
    found = []
    for outer in ast.parse(source).body:
        for node in ast.walk(outer):
            reads = isinstance(node, ast.Attribute) and node.attr in WALL and isinstance(node.value, ast.Name)
            if reads and node.value.id in ("time", "datetime", "date"):  # type: ignore[attr-defined]
                found.append(getattr(outer, "name", ""))
    return found


def test_the_rule_notices_a_wall_clock() -> None:
    source = "def f():\n    return time.time() - time.monotonic()\ndef g():\n    datetime.now(UTC)\n"
    assert wall_clock_uses(source) == ["f", "g"]


def test_only_the_manifest_has_the_time_of_day() -> None:
    """It is read once, at the start, together with the difference of the clocks."""
    uses = {
        (path.name, function)
        for part in ("capture", "trace")
        for path in (ROOT / "slabtrace" / part).rglob("*.py")
        for function in wall_clock_uses(path.read_text())
    }
    assert uses == {("plan.py", "new_manifest")}


def test_the_programs_read_only_the_monotonic_clock() -> None:
    texts = [path.read_text() for path in sorted((ROOT / "bpf").glob("*.[ch]"))]
    assert {name for text in texts for name in re.findall(r"\bbpf_ktime_get\w*", text)} == {
        "bpf_ktime_get_ns"
    }
