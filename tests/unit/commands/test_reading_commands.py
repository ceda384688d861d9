# SPDX-License-Identifier: Apache-2.0
"""stat, lifetimes, diff, check and windows, run on fixtures: what they print, and how they exit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from slabtrace.analysis.names.gfp import gfp_kinds
from slabtrace.commands.main import run
from tests.places import FIXTURES
from tests.unit.synthetic import alloc, intern, sites_of


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command line whose words that end in .slab are fixtures: (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "200")

    def run_command(*words: str) -> tuple[int, str, str]:
        code = run([str(FIXTURES / word) if word.endswith(".slab") else word for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def rows_of(printed: Any, *words: str, key: str = "rows") -> list[dict[str, Any]]:
    code, out, _ = printed(*words, "--json")
    assert code in (0, 1)
    return list(json.loads(out)[key])


def test_stat_by_address_adds_up_to_stat_by_call_site(printed: Any) -> None:
    by_site, by_ptr = (rows_of(printed, "stat", "slow-leak.slab", "--by", by) for by in ("call-site", "ptr"))
    for key in ("hits", "bytes_req", "bytes_alloc", "pingpong"):
        assert sum(row[key] for row in by_site) == sum(row[key] for row in by_ptr)
    assert len({row["ptr"] for row in by_ptr}) == len(by_ptr)
    assert rows_of(printed, "stat", "slow-leak.slab", "--alloc") == by_ptr


def test_stat_peaks_name_the_moment_and_the_holder(printed: Any) -> None:
    rows = rows_of(printed, "stat", "burst-then-flat.slab", "--peaks")
    peak = next(row for row in rows if row["cache"].startswith("msg_msg"))
    assert peak["objects"] in (101, 102) and peak["bytes"] == peak["objects"] * 128  # one may be passing
    assert peak["held_by"][0]["symbol"].startswith("load_msg+")
    assert peak["ts_ns"] > 1e9  # they are sent after a second of load


def test_stat_counts_gfp_flags(printed: Any) -> None:
    _, out, _ = printed("stat", "slow-leak.slab", "--gfp")
    assert all(title in out for title in ("Atomic", "Accounted", "Zeroed", "Rate"))
    plain, atomic, zeroed = 0xCC0, 0x820, 0x400DC0  # GFP_KERNEL, GFP_ATOMIC, GFP_KERNEL_ACCOUNT | __GFP_ZERO
    events = [alloc(n, 0x1000 * n, gfp_flags=flags) for n, flags in enumerate((plain, atomic, zeroed), 1)]
    kinds = gfp_kinds(sites_of(intern(events)[1]))
    assert {name: kind.tolist() for name, kind in kinds.items()} == {
        "atomic": [False, True, False],
        "accounted": [False, False, True],
        "zeroed": [False, False, True],
    }


@pytest.mark.parametrize(
    "words",
    [
        ("stat", "clean.slab", "--alloc", "--cache", "msg*"),
        ("stat", "clean.slab", "--alloc", "-s", "outstanding"),
        ("stat", "clean.slab", "-s", "ptr"),
        ("stat", "clean.slab", "--from", "1h"),
        ("stat", "clean.slab", "--from", "before login"),
        ("leaks", "clean.slab", "--between", "a", "b"),
        ("lifetimes", "clean.slab", "--by", "cache", "--call-site", "x"),
        ("check", "clean.slab", "--max-growth", "fast"),
        ("check", "clean.slab", "--rules", "missing.toml"),
        ("diff", "slow-leak.slab", "old-kernel.slab"),
    ],
)
def test_wrong_use_is_reported_in_a_line_or_two(printed: Any, words: tuple[str, ...]) -> None:
    code, out, err = printed(*words)
    assert (code, out) == (2, "")
    assert 1 <= len(err.strip().splitlines()) <= 2 and "Traceback" not in err


def test_lifetimes_count_every_object_once(printed: Any) -> None:
    row = rows_of(printed, "lifetimes", "slow-leak.slab")[0]
    assert (row["allocated"], row["survivors"], row["freed"]) == (4848, 48, 4800)
    assert sum(objects for _, _, objects in row["histogram"]) == 4800
    assert row["temporary"] > 4700  # sent and received within microseconds, by one task
    assert row["p50_ns"] <= row["p90_ns"] <= row["p99_ns"] <= row["longest_ns"]
    assert all(begin * 2 == end for begin, end, _ in row["histogram"])


def test_lifetimes_as_a_table(printed: Any) -> None:
    _, out, _ = printed("lifetimes", "slow-leak.slab")
    assert "Temporary" in out and "survivors" in out and "load_msg" in out


def test_check_passes_and_fails_for_ci(printed: Any, tmp_path: Path) -> None:
    code, out, _ = printed("check", "burst-then-flat.slab")
    assert (code, "passed (checked: max_suspects)" in out) == (0, True)
    code, out, _ = printed("check", "slow-leak.slab")
    assert code == 1 and "max_suspects: msg_msg-128: suspect" in out and "failed: 1 finding" in out
    code, out, _ = printed("check", "slow-leak.slab", "--max-growth", "1KiB/min")
    assert code == 1 and "max_growth" in out and "max_suspects" not in out
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[check]\nmax_suspects = 0\n[[suppress]]\nstack = ["load_msg"]\n[[suppress]]\ncache = "x"\n'
    )
    code, out, _ = printed("check", "slow-leak.slab", "--rules", str(rules))
    assert code == 0
    assert "suppressed: load_msg: 1 finding, 48 objects, 6.0 KiB" in out
    assert "suppressed: in x: matched nothing; is it still needed?" in out


def test_check_counts_reclaimable_findings_on_request(printed: Any) -> None:
    code, out, _ = printed("check", "cached-names.slab", "--max-outstanding", "290KiB")
    assert code == 0 and "not counted: 1 reclaimable finding, 291.0 KiB" in out
    code, out, _ = printed("check", "cached-names.slab", "--max-outstanding", "290KiB", "--reclaimable")
    assert code == 1 and "max_outstanding: 291.0 KiB in 1,552 objects" in out and "not counted" not in out
    document = json.loads(printed("check", "cached-names.slab", "--json")[1])
    assert document["passed"] and document["not_counted"]["reclaimable_bytes"] == 1552 * 192


def test_check_holds_mismatches_against_their_number(printed: Any) -> None:
    assert len(rows_of(printed, "check", "double-free.slab", "--max-mismatches", "41", key="findings")) == 42
    assert rows_of(printed, "check", "double-free.slab", "--max-mismatches", "42", key="findings") == []


def test_diff_finds_a_leak_that_is_new_and_exits_with_1(printed: Any) -> None:
    """101 objects that came at once, and 2 a second: of different kinds, so rates are compared."""
    code, out, _ = printed("diff", "burst-then-flat.slab", "slow-leak.slab")
    assert code == 1 and re.search(r"grown: msg_msg-128: none -> 2(\.0\d)?/s \(15\.\d KiB/min\)", out)
    assert "retained -> suspect" in out and "found: 1 group new or grown" in out
    code, out, _ = printed("diff", "slow-leak.slab", "burst-then-flat.slab")
    assert code == 0 and re.search(r"shrunk: msg_msg-128: 2(\.0\d)?/s \(15\.\d KiB/min\) -> none", out)
    assert "note: the recordings lasted 24.5 s and 16.7 s" in out


def test_diff_names_a_leak_that_is_in_both(printed: Any) -> None:
    """The same leak, recorded in both modes."""
    code, out, _ = printed("diff", "slow-leak.slab", "survivors.slab")
    assert code == 0
    assert re.match(r"grows in both: msg_msg-128: 2(\.0\d)?/s \(15\.\d KiB/min\) -> (2|2\.0\d|1\.9\d)/s", out)
    assert "note: the newer recording was recorded with --mode survivors" in out
    (row,) = rows_of(printed, "diff", "slow-leak.slab", "survivors.slab", key="groups")
    assert (row["state"], row["significant"], row["compared"]) == ("growing", False, "rate")


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("dentries.slab", "with --cache kmalloc-cg-128, msg_msg-*, the newer recording with --cache dentry"),
        ("lossy.slab", "the newer recording has no stacks"),
    ],
)
def test_diff_refuses_recordings_of_different_things(printed: Any, new: str, message: str) -> None:
    code, out, err = printed("diff", "slow-leak.slab", new)
    assert (code, out) == (2, "") and message in err


def test_a_window_shows_only_what_was_then(printed: Any) -> None:
    row = rows_of(printed, "leaks", "slow-leak.slab", "--from", "5s", "--to", "15s", key="groups")[0]
    assert row["outstanding"] == 20
    between = rows_of(printed, "leaks", "slow-leak.slab", "--between", "5s", "15s", key="groups")[0]
    assert between["outstanding"] == 20


@pytest.mark.parametrize(("by", "shown"), [("module", "(kernel)"), ("process", " 24117  workload")])
def test_leaks_say_what_distinguishes_groups(printed: Any, by: str, shown: str) -> None:
    _, out, _ = printed("leaks", "slow-leak.slab", "--by", by)
    assert by in out.splitlines()[0] and shown in out.splitlines()[1]


def test_no_group_of_a_class_is_not_called_nothing_outstanding(printed: Any) -> None:
    code, out, _ = printed("leaks", "slow-leak.slab", "--class", "reclaimable", "--cache", "msg_msg*")
    assert code == 0
    assert out.startswith("none of this kind\nleft out by the filters: 1 finding (1 suspect)\n")
    _, out, _ = printed("leaks", "slow-leak.slab", "--by", "stack", "--class", "reclaimable")
    assert out.startswith("none of this kind; ") and "other group outstanding" in out.splitlines()[0]


def test_leaks_say_what_would_have_been_found(printed: Any) -> None:
    code, out, _ = printed("leaks", "burst-then-flat.slab")
    assert code == 0 and "\nNo leak found.\nA leak of one object every " in out
    assert "Recorded with --cache 'msg_msg-*' --cache kmalloc-cg-128: other objects" in out


def test_suppressions_match_findings(printed: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[suppress]]\nstack = ["load_msg"]\n')
    _, out, _ = printed("leaks", "slow-leak.slab", "--suppressions", str(rules))
    assert "suppressed: load_msg: 1 finding, 48 objects, 6.0 KiB\n" in out
    document = json.loads(printed("leaks", "slow-leak.slab", "--suppressions", str(rules), "--json")[1])
    assert document["findings"] == document["groups"] == []
