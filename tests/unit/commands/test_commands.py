# SPDX-License-Identifier: Apache-2.0
"""The reading commands over a trace made by hand: what they print, as text and as JSON."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from slabtrace.commands import main
from slabtrace.render.terminal.text import escape
from slabtrace.units import duration
from tests.places import FIXTURES
from tests.unit.commands.conftest import Run, printed_json
from tests.unit.fake_rows import MISMATCH
from tests.unit.fake_trace import FakeCompleteness, FakeTrace

READING = ["info", "leaks", "stat", "caches", "mismatches"]


@pytest.mark.parametrize("command", READING)
def test_text_fits_80_columns_and_is_harmless(run: Run, command: str) -> None:
    code, out, err = run(command, "t.slab", trace=FakeTrace([MISMATCH]))
    assert (code, err) == (1 if command == "mismatches" else 0, "")
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out and "\x07" not in out


@pytest.mark.parametrize("command", READING)
def test_text_ends_with_damage_and_verdict(run: Run, command: str) -> None:
    _, out, _ = run(command, "t.slab", trace=FakeTrace(damage=["stacks.arrow is missing."]))
    damaged, *verdict = out.splitlines()[-2:]
    assert damaged == "damaged: stacks.arrow is missing."
    short = "Not complete: 5 events lost, 1 untraced path; see `slabtrace info t.slab`"
    assert verdict == ["5 events were dropped." if command == "info" else short]


def test_much_damage_is_one_line_except_in_info(run: Run) -> None:
    trace = FakeTrace(damage=["sites.arrow was cut.", "stacks.arrow is missing.", "x"])
    assert "damaged: sites.arrow was cut. (and 2 more problems)\n" in run("stat", "t.slab", trace=trace)[1]
    assert "damaged: stacks.arrow is missing.\n" in run("info", "t.slab", trace=trace)[1]


@pytest.mark.parametrize("command", READING)
def test_json_has_the_head_that_scripts_rely_on(run: Run, command: str) -> None:
    document = printed_json(run, command, "t.slab", trace=FakeTrace(damage=["cut"]))
    assert document["schema"] == f"slabtrace.{command}/{2 if command == 'leaks' else 1}"
    assert document["trace"] == "t.slab"
    assert document["damage"] == ["cut"]
    completeness = document["completeness"]
    assert (completeness["exact"], completeness["dropped"], completeness["events"]) == (False, 5, 20_198)


def test_caches_json(run: Run) -> None:
    caches = {row["cache"]: row for row in printed_json(run, "caches", "t.slab")["caches"]}
    assert caches["filp"]["aliases"] == ["seq_file", "eventpoll_pwq"]
    assert caches["msg_msg-128"]["unexplained"] == 32 - 23
    assert caches["kmalloc-cg-192"]["unexplained"] is None
    assert set(caches["filp"]) >= {
        "cache", "aliases", "object_size", "size", "allocs", "frees", "outstanding", "peak_outstanding",
        "bytes_req", "bytes_alloc", "waste_bytes", "slabinfo_start", "slabinfo_end", "unexplained",
    }  # fmt: skip


def test_info_json_has_the_manifest(run: Run) -> None:
    manifest = printed_json(run, "info", "t.slab")["manifest"]
    assert manifest["host"]["release"] == "6.18.0"
    assert manifest["command"] == {
        "argv": ["./leak", "two words"], "pid": 1234, "exit_status": 3, "ended_ns": None,
    }  # fmt: skip


def test_info_lists_the_marks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = printed_json(run, "info", "t.slab")["marks"]
    first = marks[0]
    out = " ".join(run("info", "t.slab")[1].split())
    assert f"mark {escape(first['text'])} (at {duration(first['ts_ns'])})" in out
    many = pd.DataFrame({"ts_ns": range(25), "text": [f"m{n}" for n in range(25)]})
    monkeypatch.setattr(FakeTrace, "marks", lambda self: many)
    out = run("info", "t.slab")[1]
    assert "m19 (at 19 ns)" in out and "m20" not in out and "… and 5 more" in out


def test_stat_has_perf_kmems_columns(run: Run) -> None:
    _, out, _ = run("stat", "t.slab")
    lines = out.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("Callsite"))
    assert lines[header].split()[1:] == ["Total_alloc/Per", "Total_req/Per", "Hit", "Ping-pong", "Frag"]
    assert lines[header + 1].split() == [
        "load_msg+0x71", "1.2", "MiB/125", "979.5", "KiB/100", "10,030", "1", "20.0%",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sort", "first"), [("bytes", "load_msg+0x71"), ("pingpong", "alloc_pipe_info+0x57")]
)
def test_stat_sorts(run: Run, sort: str, first: str) -> None:
    assert printed_json(run, "stat", "t.slab", "-s", sort)["rows"][0]["symbol"] == first


def test_stat_refuses_unknown_sort_keys(run: Run) -> None:
    code, _, err = run("stat", "t.slab", "-s", "bytes,age")
    assert code == 2 and "age; the keys are bytes, req, hit" in " ".join(err.split())


def test_caches_compares_with_the_kernel(run: Run) -> None:
    _, out, _ = run("caches", "t.slab")
    rows = {line.split()[0]: line.split()[1:8] for line in out.splitlines() if line}
    assert rows["cache"] == ["size", "allocs", "frees", "net", "kernel", "match", "peak"]
    assert rows["msg_msg-128"] == ["128", "10,030", "10,007", "+23", "+32", "±64", "24"]
    assert rows["kmalloc-cg-192"] == ["192", "101", "60", "+41", "-", "-", "101"]


def test_caches_lists_aliases_on_request(run: Run) -> None:
    assert "filp = seq_file, eventpoll_pwq" in run("caches", "t.slab", "--aliases")[1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--cache", "msgmsg-128"], "no slab cache of the trace matches 'msgmsg-128'"),
        (["--cache", "msgmsg-128"], "did you mean msg_msg-128"),
        (["--cache", "zzz"], "`slabtrace caches TRACE` lists them"),
        (["--call-site", "("], "'(' is not a regular expression"),
        (["--call-site", "tcp_"], "no call site matches 'tcp_'"),
        (["--pid", "7"], "the trace has no process 7"),
        (["--pid", "1234", "--pid", "7"], "the trace has no process 7"),
        (["--comm", "sshd*"], "the trace has no task named 'sshd*'"),
    ],
)
def test_a_filter_that_matches_nothing_is_wrong_use(run: Run, args: list[str], said: str) -> None:
    code, out, err = run("leaks", "t.slab", *args)
    assert (code, out) == (2, "")
    assert said in err and len(err.splitlines()) <= 2


def test_the_limit_says_what_it_hides(run: Run) -> None:
    assert "… and 1 finding more" in run("leaks", "t.slab", "-l", "1")[1]
    assert "… and 1 group more" in run("leaks", "t.slab", "--by", "cache", "-l", "1")[1]
    assert "… and 2 caches more" in run("caches", "t.slab", "-l", "1")[1]
    assert "… and" not in run("leaks", "t.slab", "-l", "0")[1]


def test_info_distinguishes_lost_and_recovered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    skipped = FakeCompleteness(dropped=0, recursion_missed=3045, recovered=3033, skipped=12)
    trace = FakeTrace()
    monkeypatch.setattr(trace, "completeness", lambda: skipped)
    out = " ".join(run("info", "t.slab", trace=trace)[1].split())
    assert "lost 12 skipped (the kernel did not call the program, which was busy on that CPU)" in out
    assert "recovered 3,033 events that the kernel had skipped" in out and "3,045" not in out


def test_info_shows_where_the_kernel_counts_otherwise(run: Run) -> None:
    out = " ".join(run("info", "t.slab")[1].split())
    assert "msg_msg-128: kernel +32, traced +23, match 71.9%; difference explained by: per-CPU slabs" in out
    assert "filp (also seq_file, eventpoll_pwq): kernel +1, traced +0, match 0.0%" in out
    assert printed_json(run, "info", "t.slab")["reconciliation"][0]["residue"] == 9


def test_info_says_what_was_found(run: Run) -> None:
    lines = run("info", "t.slab")[1].splitlines()
    assert lines[lines.index("1 suspected leak, 230.6 KiB/min in all.") - 1] == ""
    assert printed_json(run, "info", "t.slab")["verdict"]["least_rate_per_s"] == 20.5


def test_info_shows_how_it_was_recorded(run: Run) -> None:
    out = " ".join(run("info", "t.slab")[1].split())
    assert "by slabtrace 0.1.0 options stacks=all cache='kmalloc-*' force" in out
    assert "./leak 'two words' (pid 1234, exit status 3)" in out
    assert "20,198 (10.1 k/s): 10,131 allocations, 10,067 frees" in out
    assert "3.0 bytes per event" in out
    assert "not traced kfree_rcu: no fentry here" in out
    assert "lost 5 dropped (the ring was full) unmatched 2 frees of objects older than the recording" in out


@pytest.mark.parametrize("time", ["1" * 400 + "s", "9" * 18 + "h", "0.0000000001s", "1" * 400 + "KiB"])
def test_no_number_is_too_long_or_too_small_to_be_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], time: str
) -> None:
    trace = FIXTURES / "slow-leak.slab"
    words = ["record", "--rotate", time, "-d", "1ms", "-o", str(tmp_path / "missing" / "t.slab")]
    assert main.run(words) == 2
    assert main.run(["leaks", str(trace), "--from", time, "--to", time]) == 2
    assert "Traceback" not in capsys.readouterr().err
