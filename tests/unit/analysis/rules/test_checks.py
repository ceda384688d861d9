# SPDX-License-Identifier: Apache-2.0
"""Rules, suppressions, and the files they come from."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from slabtrace.analysis.rules import checks, suppressions
from slabtrace.analysis.rules.checks import NotCounted, Rules
from slabtrace.analysis.trust.completeness import Completeness
from slabtrace.cli.toml_files import read_suppressions
from slabtrace.errors import UsageError
from slabtrace.render.terminal.check import write_check
from tests.unit.fake_rows import GROUPS
from tests.unit.findings_frames import frame, group

LEAKS = pd.DataFrame(GROUPS)  # 41 pipes at one stack, 23 messages at another
COMPLETE = Completeness(exact=True)
KIB = 1024

# A suspect of 41 objects that certainly grows by 3,542 B/s; 23 young messages; slabtrace's own; reclaimable.
SUSPECT = group(41, rate=30.0, error=2.0, bytes_alloc=41 * 192, growth_bytes_per_s=3936.0, growth_low=3542.4)
YOUNG = group(23, **{"class": "young"}, growth_low=float("nan"), growth_bytes_per_s=float("nan"))
INODES = group(100, rate=90.0, error=1.0, **{"class": "reclaimable"}, cache="inode_cache")
OWN = group(7, rate=9.0, error=1.0, own=True)
FINDINGS = frame(SUSPECT, YOUNG, INODES, OWN)


def rules_broken(rules: Rules, findings: pd.DataFrame = FINDINGS, completeness: Any = COMPLETE) -> list[str]:
    mismatches = pd.DataFrame({"kind": ["double-free"], "cache": ["filp"]})
    return [str(each) for each in checks.broken(rules, findings, mismatches, completeness)["rule"]]


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        (Rules(), []),
        (Rules(max_suspects=0), ["max_suspects"]),
        (Rules(max_suspects=1), []),
        (Rules(max_growth=3500), ["max_growth"]),
        (Rules(max_growth=3600), []),  # the growth is above, its lower end is not
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
    everything = Rules(max_suspects=0, max_growth=1, max_outstanding=0, reclaimable=True)
    assert rules_broken(everything, FINDINGS.assign(own=True)) == []


@pytest.mark.parametrize("class_", ["retained", "replacing", "young"])
def test_only_what_grows_by_the_verdict_breaks_a_rule_of_growth(class_: str) -> None:
    """A flat cache whose objects are replaced has a lower end of its growth as well: no leak."""
    flat = frame(group(400, rate=9.0, error=1.0, **{"class": class_}))
    assert rules_broken(Rules(max_growth=1, max_suspects=0), flat) == []
    growing = frame(group(400, rate=9.0, error=1.0, **{"class": "growing"}))
    assert rules_broken(Rules(max_growth=1, max_suspects=0), growing) == ["max_growth"]
    assert rules_broken(Rules(max_growth=9 * 128), growing) == []


def test_reclaimable_findings_count_on_request() -> None:
    inodes = frame(INODES)
    limits = {"max_growth": 1.0, "max_outstanding": 1.0}
    assert rules_broken(Rules(**limits), inodes) == []
    assert rules_broken(Rules(**limits, reclaimable=True), inodes) == ["max_growth", "max_outstanding"]
    assert rules_broken(Rules(max_suspects=0, reclaimable=True), inodes) == []
    assert not Rules(reclaimable=True).any  # it is no limit: the default one stays


def test_a_sample_is_held_against_the_limits_as_what_it_stands_for() -> None:
    """13 of 208 objects, 26 KiB: growth is already that of all, outstanding bytes are those recorded."""
    leak = frame(group(13, rate=26.7, error=14.5))
    assert rules_broken(Rules(max_growth=30 * KIB / 60), leak) == ["max_growth"]
    in_all = Rules(max_outstanding=25 * KIB)
    assert rules_broken(in_all, leak) == []
    (row,) = checks.broken(in_all, leak, None, COMPLETE, one_in=16).to_dict("records")
    assert row["finding"] == "26.0 KiB in 208 objects outstanding (estimated from a sample)"


def test_only_mismatches_that_the_evidence_supports_count() -> None:
    mismatches = pd.DataFrame({"kind": ["double-free"] * 3, "cache": ["filp"] * 3})
    for supported, broken in (([True, False, False], 0), ([True, True, False], 2), (None, 3)):
        given = mismatches if supported is None else mismatches.assign(supported=supported)
        assert len(checks.broken(Rules(max_mismatches=1), FINDINGS, given, COMPLETE)) == broken
    left_out = checks.not_counted(Rules(max_mismatches=1), FINDINGS, mismatches.assign(supported=False))
    assert left_out.mismatches == 3


def test_what_did_not_count_is_known() -> None:
    findings = frame(SUSPECT, YOUNG, INODES, INODES, OWN, group(5, rate=3.0, **{"class": "growing"}))
    left_out = checks.not_counted(Rules(max_suspects=0), findings, None)
    assert left_out == NotCounted(reclaimable=2, reclaimable_bytes=2 * 100 * 128, own=1, growing=1)
    assert checks.not_counted(Rules(max_growth=1, reclaimable=True), findings, None) == NotCounted(own=1)
    sampled = checks.not_counted(Rules(max_growth=1), frame(INODES), None, one_in=16)
    assert sampled == NotCounted(reclaimable=1, reclaimable_bytes=16 * 100 * 128)


@pytest.mark.parametrize(
    ("left_out", "line"),
    [
        (NotCounted(), None),
        (
            NotCounted(reclaimable=12, reclaimable_bytes=310 * KIB, own=4),
            "not counted: 12 reclaimable findings, 310.0 KiB (--reclaimable counts them); "
            "4 of slabtrace itself",
        ),
        (
            NotCounted(growing=1, mismatches=2),
            "not counted: 1 growing finding (--max-growth counts them); "
            "2 mismatches that the evidence does not support",
        ),
    ],
)
def test_what_did_not_count_is_one_line(
    left_out: NotCounted, line: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = io.StringIO()
    write_check(out, FINDINGS[:0], Rules(max_suspects=0, reclaimable=True), left_out, [])
    passed, *rest = out.getvalue().splitlines()
    assert (passed, rest) == ("passed (checked: max_suspects)", [line] if line else [])


def test_a_finding_is_written_with_its_growth_and_what_to_do() -> None:
    out, rules = io.StringIO(), Rules(max_suspects=0)
    write_check(out, checks.broken(rules, FINDINGS, None, COMPLETE), rules, NotCounted(), [])
    lines = out.getvalue().splitlines()
    assert lines[0] == "max_suspects: msg_msg-128: suspect, grows by 230.6 KiB/min (at least 207.6"
    assert lines[2:4] == ["  because", "  look at the stack"]
    assert lines[4:7] == ["    load_msg+0x41", "    do_msgsnd+0x8c", "    entry+0x76"]


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
    [
        {"max_leaks": 1},
        {"max_suspects": "none"},
        {"max_suspects": -1},
        {"exact": 1},
        {"reclaimable": "yes"},
        {"max_growth": "x"},
        3,
    ],
)
def test_invalid_rules_are_reported(table: Any) -> None:
    with pytest.raises(UsageError):
        checks.parse(table, "rules.toml")


def test_rules_in_a_file() -> None:
    table = {"max_suspects": 2, "max_growth": "60B/min", "exact": True, "reclaimable": True}
    parsed = checks.parse(table, "rules.toml")
    assert parsed == Rules(max_suspects=2, max_growth=1.0, exact=True, reclaimable=True)
    assert parsed.asked == ["max_suspects", "max_growth", "exact"]


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
    ("rule", "matches"),
    [
        ({"cache": "kmalloc-64"}, True),  # as other kernels call it
        ({"cache": "kmalloc-rnd-05-*"}, True),  # as this one does
        ({"cache": "kmalloc-cg-64"}, False),
        ({"stack": ["kmemdup", "sys_msgsnd"]}, True),
        ({"stack": ["kmemdup_noprof", "__x64_sys_msgsnd"]}, True),
        ({"stack": ["kmemdup_nul"]}, False),
    ],
)
def test_names_of_other_kernels_match(rule: dict[str, Any], matches: bool) -> None:
    stack = ["kmemdup_noprof+0x2a", "__x64_sys_msgsnd+0x17"]
    findings = frame(group(3, stack, cache="kmalloc-rnd-05-64", objects=12))
    kept, used = suppressions.parse([rule], "s.toml").apply(findings)
    assert (len(kept), used[0].groups, used[0].objects) == ((0, 1, 12) if matches else (1, 0, 0))


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
