# SPDX-License-Identifier: Apache-2.0
"""The text of diff: what was compared comes first, a finding is a paragraph, nothing hostile is printed."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest

from slabtrace.analysis.comparing.diff import diff
from slabtrace.render.terminal.diff import write_diff, write_found, write_notes
from tests.unit.fake_rows import HOSTILE
from tests.unit.findings_frames import frame, group

MINUTE = 60 * 10**9
START = group(50, ["start+0x1"], finding=9)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def text(table: pd.DataFrame, **more: Any) -> list[str]:
    out = io.StringIO()
    write_diff(out, table, **more)
    return out.getvalue().splitlines()


def compared(old: list[dict[str, Any]], new: list[dict[str, Any]], **options: Any) -> pd.DataFrame:
    table = diff(frame(*old), frame(*new), MINUTE, MINUTE, **options)
    return table[table["state"] != "same"]


def test_a_new_leak_shows_its_rate_and_the_judgement() -> None:
    leak = group(120, ["load_msg+0x41", HOSTILE], rate=2.0, error=0.4)
    first, why, *stack = text(compared([START], [START, leak]))
    assert first.startswith(
        "new: msg_msg-128: none -> 2/s (15.0 KiB/min); outstanding 0 -> 120 objects, 0 B -> 15.0 KiB"
    )
    assert "; suspect; p = " in first and why == "  because"
    assert stack == ["    load_msg", "    evil\\x1b]0;owned\\x07"]


def test_groups_of_one_finding_are_one_paragraph() -> None:
    """A socket is four objects; two of them here, and another leak."""
    leaks = [
        group(120, [f"{cache}_alloc+0x1"], rate=2.0, error=0.4, cache=cache, finding=finding)
        for cache, finding in (("TCP", 1), ("filp", 1), ("key_jar", 2))
    ]
    lines = text(compared([START], [START, *leaks]))
    heads = [line for line in lines if line and not line.startswith(" ")]
    assert [head.split(":")[1].strip() for head in heads] == ["TCP", "key_jar"]
    assert lines.count("  with it: filp, 0 -> 120 objects") == 1
    owned = text(compared([START], [START, *leaks]), owners={1: "filp"})
    assert owned[0].startswith("new: filp:") and "  with it: TCP, 0 -> 120 objects" in owned


def test_what_grows_in_both_has_both_rates() -> None:
    table = compared([group(120, rate=2.0, error=0.4)], [group(126, rate=2.1, error=0.4)])
    assert text(table)[0].startswith(
        "grows in both: msg_msg-128: 2/s (15.0 KiB/min) -> 2.1/s (15.8 KiB/min); "
    )


def test_numbers_of_a_sample_are_estimates() -> None:
    table = compared([START], [START, group(62)], one_in=(1, 16))
    shown = next(line for line in text(table) if "start" not in line and line.startswith("new"))
    assert "0 -> ~992 objects, 0 B -> 124.0 KiB" in shown


def test_kinds_that_differ_are_named_and_nothing_compared_is_said() -> None:
    table = compared([group(900)], [group(120, rate=2.0, error=0.4)])
    assert "retained -> suspect" in text(table)[0]
    young = [group(n, **{"class": "young"}) for n in (10, 90)]
    table = diff(frame(young[0]), frame(young[1]), MINUTE // 6, MINUTE)
    assert (
        text(table)[0]
        == "same (not significant): msg_msg-128: 10 -> 90 objects, 1.2 KiB -> 11.2 KiB; young; not compared"
    )


def test_totals_and_notes() -> None:
    out = io.StringIO()
    write_found(out, 0, 0)
    write_notes(out, [])
    assert out.getvalue() == ""
    write_found(out, 3, 1)
    write_notes(out, ["the recordings differ"])
    assert out.getvalue().splitlines() == [
        "3 groups without a significant difference (--all shows them)",
        "found: 1 group new or grown, and suspect, growing or retained",
        "note: the recordings differ",
    ]
    assert text(frame(START)[:0]) == ["no significant difference, and nothing that grows in both recordings"]
