# SPDX-License-Identifier: Apache-2.0
"""A recording knows one clock, CLOCK_MONOTONIC, so setting the time of day changes nothing in it.

Shown by reading the sources: the wall clock of a shared machine cannot be set in a test.
"""

from __future__ import annotations

import ast
import re

from tests.places import ROOT

WALL = {"time", "time_ns", "now", "today", "utcnow", "localtime", "gmtime"}  # of time and datetime


def wall_clock_uses(source: str) -> list[str]:
    """Functions in which the wall clock is read, by the name of the outermost one."""
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


def test_only_the_manifest_is_told_the_time_of_day() -> None:
    """Once, at the start: when it was, and how far the clocks are apart."""
    uses = {
        (path.name, function)
        for part in ("capture", "trace")
        for path in (ROOT / "slabtrace" / part).glob("*.py")
        for function in wall_clock_uses(path.read_text())
    }
    assert uses == {("recorder.py", "new_manifest")}


def test_the_programs_read_the_monotonic_clock_alone() -> None:
    texts = [path.read_text() for path in sorted((ROOT / "bpf").glob("*.[ch]"))]
    assert {name for text in texts for name in re.findall(r"\bbpf_ktime_get\w*", text)} == {
        "bpf_ktime_get_ns"
    }
