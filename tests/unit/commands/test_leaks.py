# SPDX-License-Identifier: Apache-2.0
"""`slabtrace leaks` over a trace made by hand: what it prints, as text and as JSON."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slabtrace.columns import FINDINGS, OLDEST
from slabtrace.render.terminal.outstanding.leaks import Listing, who, write_leaks
from tests.unit.commands.conftest import Run, printed_json
from tests.unit.fake_rows import GROUPS, HOSTILE, finding
from tests.unit.fake_trace import FakeCompleteness, FakeTrace


def _flat(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def test_leaks_json(run: Run) -> None:
    document = printed_json(run, "leaks", "t.slab")
    pipes, messages = document["groups"]
    assert set(messages) == {
        "rank", "finding", "cache", "call_site", "symbol", "stack", "allocated", "freed", "outstanding",
        "bytes_req", "bytes_alloc", "oldest_ns", "newest_ns", "comms", "pids", "pid_objects", "own",
        "confidence", "maybe_freed", "in_use", "module", "reclaimable", "stack_of", "stacked", "stacks",
        "class", "why",
        "rate_per_s", "rate_low", "rate_high", "rate_since_ns", "growth_bytes_per_s",
        "growth_low", "growth_high", "old", "old_freed", "older_freed", "horizon_ns", "sibling_ns",
        "dispersion", "p",
        "outstanding_estimate", "outstanding_error", "bytes_estimate", "bytes_error",
        "object", "alias", "aliases", "whose",
        "context", "freed_by", "others_freed_by",
    }  # fmt: skip
    assert document["by"] == "stack" and (pipes["finding"], messages["finding"]) == (1, 2)
    assert (pipes["rank"], pipes["outstanding"], pipes["growth_bytes_per_s"]) == (1, 41, 3936.0)
    assert messages["call_site"] == "0xffffffff8127bc41"
    assert messages["stack"] == ["load_msg+0x71", "do_msgsnd+0x9c", "__x64_sys_msgsnd+0x1f [ipc]"]
    assert (messages["allocated"], messages["freed"], messages["outstanding"]) == (10_030, 10_007, 23)
    assert (messages["growth_bytes_per_s"], messages["class"]) == (None, "young")
    assert (messages["comms"], messages["pids"]) == ([HOSTILE], [1234])


def test_leaks_json_has_findings_and_the_verdict(run: Run) -> None:
    for by in ([], ["--by", "process"]):
        document = printed_json(run, "leaks", "t.slab", *by)
        pipes, messages = document["findings"]
        assert set(pipes) == {each.name for each in FINDINGS.columns}
        assert (pipes["rank"], pipes["class"], pipes["caches"], pipes["groups"]) == (
            1, "suspect", ["kmalloc-cg-192"], [1],
        )  # fmt: skip
        assert (pipes["objects"], pipes["bytes_each"], messages["rate_per_s"]) == (41, 192.0, None)
        assert messages["call_site"] == "0xffffffff8127bc41"
        verdict = document["verdict"]
        assert (verdict["suspects"], verdict["growing"], verdict["least_rate_per_s"]) == (1, 0, 20.5)
        assert verdict["sentences"][0] == "1 suspected leak, 230.6 KiB/min in all."
        assert document["by"] == (by[1] if by else "stack")


def test_a_suspect_is_a_card_and_the_rest_a_table(run: Run) -> None:
    lines = run("leaks", "t.slab")[1].splitlines()
    assert lines[:3] == [
        "#1 suspect, 230.6 KiB/min: kmalloc-cg-192 (parts of a pipe)",
        "   41 × 192 B = 7.7 KiB; 60 of 101 freed; oldest 1 s",
        "   grew 230.6 KiB/min; 0 of 41 objects older than 1.07 s were ever freed",
    ]
    assert lines[3:6] == [f"    {frame}" for frame in GROUPS[0]["stack"]]
    assert "  next: find who holds these objects" in lines
    header = lines.index("others:") + 1
    assert lines[header].split() == ["#", "class", "objects", "bytes", "cache", "call", "site", "pid", "by"]
    cells = lines[header + 1].split()
    assert cells[:8] == ["2", "young", "23", "2.9", "KiB", "msg_msg-128", "load_msg+0x71", "1234"]
    said = ["1 suspected leak, 230.6 KiB/min in all.", "A smaller one would have been missed."]
    assert lines[header + 3 : header + 5] == said and lines[header + 5] == ""


def test_a_finding_is_shown_whole(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner and five objects that hang on it; the stack was counted over a group with more objects."""
    parts = ["TCP", "sock_inode_cache", "filp", "dentry", "lsm_file_cache", "lsm_inode_cache"]
    whole = {
        "caches": parts,
        "parts": parts,
        "objects": 6 * 41,
        "bytes_alloc": 41 * 3640,
        "bytes_each": 3640.0,
        "in_use": 246,
    }
    found = finding(GROUPS[0]) | whole | {"freed": 50, "stack_of": 51, "stacked": 51}
    monkeypatch.setattr(FakeTrace, "findings", lambda self, **asked: pd.DataFrame([found]))
    out = " ".join(run("leaks", "t.slab")[1].split())
    assert "#1 suspect, 230.6 KiB/min: TCP + sock_inode_cache + filp + dentry + 2 more" in out
    assert "41 × 3.6 KiB = 145.7 KiB in 246 objects; 50 of 101 freed" in out
    assert "by pipes (pid 4321); all 246 confirmed in use at the end" in out and "sampled" not in out


def test_a_card_names_the_release_path_that_was_not_taken(run: Run) -> None:
    lines = run("leaks", "t.slab")[1].splitlines()
    assert "siblings were freed by free_pipe_info <- pipe_release (60 of 60); these were not" in _flat(lines)
    (entry,) = printed_json(run, "leaks", "t.slab")["findings"][0]["freed_by"]
    assert (entry["call_site"], entry["objects"], entry["stopped"]) == ("0xffffffff81300b99", 60, False)


def test_where_the_task_was_interrupted_it_is_not_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [finding(group) | {"context": "softirq NET_RX"} for group in GROUPS]
    monkeypatch.setattr(FakeTrace, "findings", lambda self, **asked: pd.DataFrame(rows))
    out = " ".join(run("leaks", "t.slab")[1].split())
    assert "in softirq NET_RX (on whatever task ran); confirmed" in out
    assert "load_msg+0x71 - softirq NET_RX" in out and "pid 4321" not in out and "1234" not in out


def test_findings_of_a_class_asked_for_are_cards(run: Run) -> None:
    out = run("leaks", "t.slab", "--class", "young")[1]
    assert out.startswith("#2 young: msg_msg-128\n") and "   nothing in it is old enough to judge\n" in out
    assert "left out by the filters: 1 finding (1 suspect)\n" in out and "others:" not in out


def test_findings_of_a_sample_stand_for_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    estimates = {"outstanding_estimate": 656.0, "outstanding_error": 190, "bytes_estimate": 125_952.0}
    rows = [finding(group) | estimates for group in GROUPS]
    monkeypatch.setattr(FakeTrace, "findings", lambda self, **asked: pd.DataFrame(rows))
    out = " ".join(run("leaks", "t.slab")[1].split())
    assert "41 × 192 B = 7.7 KiB (of all: ~656 ±190, 123.0 KiB)" in out
    assert "2 young ~656 123.0 KiB msg_msg-128" in out


def test_leaks_by_stack_shows_stacks_and_ages(run: Run) -> None:
    _, out, _ = run("leaks", "t.slab", "--by", "stack")
    block = out[out.index("2. ") :].splitlines()
    text = " ".join(block)
    assert "2. 23 objects of msg_msg-128 outstanding, 2.9 KiB;" in text
    assert "10,007 of 10,030 freed" in text and "oldest 1.5 s" in text
    assert "   young, part of finding #2" in block
    frames = [line.strip() for line in block if line.startswith("    ")]
    assert frames == ["load_msg+0x71", "do_msgsnd+0x9c", "__x64_sys_msgsnd+0x1f [ipc]"]
    said = (
        r"by evil\x1b]0;owned\x07 (pid 1234); upper bound: 5 of these may have been freed without being seen"
    )
    assert said in " ".join(out.split())
    said = "by pipes (pid 4321); confirmed: no free of these can have been missed; 23 of 41 confirmed in use"
    assert said in " ".join(out.split())


def test_leaks_by_call_site_is_one_line_each(run: Run) -> None:
    _, out, _ = run("leaks", "t.slab", "--by", "call-site")
    header, first, second = out.splitlines()[:3]
    words = ["finding", "class", "growth/min", "objects", "bytes", "unsure", "cache", "call", "site"]
    assert header.split() == words
    assert first.split()[:5] == ["#1", "suspect", "230.6", "KiB", "41"] and first.endswith("0x57")
    assert " 0  kmalloc" in first and "≤5  msg" in second
    assert second.split()[:4] == ["#2", "young", "-", "23"] and "msg_msg-128" in second


OWN = GROUPS[0] | {
    "rank": 3,
    "finding": 3,
    "own": True,
    "comms": ["slabtrace"],
    "symbol": "alloc_buffer_head+0x1d",
}


def test_slabtraces_own_objects_are_a_line_unless_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.unit.fake_trace.GROUPS", [*GROUPS, OWN])
    for by in ([], ["--by", "stack"], ["--by", "call-site"], ["--by", "process"]):
        line = f"1 {'group' if by else 'finding'} of slabtrace itself, 7.7 KiB, not shown: --own shows them"
        out = run("leaks", "t.slab", *by)[1]
        assert line in out.splitlines() and "alloc_buffer_head" not in out
        out = run("leaks", "t.slab", *by, "--own")[1]
        assert "not shown" not in out and "by slabtrace" in out
    assert "… and 1 finding more" in run("leaks", "t.slab", "-l", "1")[1]  # the own one is not counted twice
    assert len(printed_json(run, "leaks", "t.slab")["groups"]) == 3
    monkeypatch.setattr("tests.unit.fake_trace.GROUPS", [OWN])
    assert run("leaks", "t.slab")[1].startswith("nothing outstanding except objects of slabtrace itself\n")


def test_leaks_list_slabtraces_own_groups_last(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.fake_trace.GROUPS", [*GROUPS, OWN])
    by_stack = run("leaks", "t.slab", "--by", "stack", "--own")[1]
    assert by_stack.count("  by slabtrace itself;") == 1
    assert by_stack.index("by slabtrace itself") > by_stack.index("3. ")
    lines = run("leaks", "t.slab", "--by", "call-site", "--own")[1].splitlines()
    heading = lines.index("by slabtrace itself:")
    assert lines[heading + 2].split()[0] == "#3" and heading == 3
    assert [group["own"] for group in printed_json(run, "leaks", "t.slab")["groups"]] == [False, False, True]


ALL_IN_USE = {"in_use": 41, "confidence": "bounded", "maybe_freed": 0}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (ALL_IN_USE, "all 41 confirmed in use at the end"),
        (ALL_IN_USE | {"outstanding": 1, "in_use": 1}, "by pipes (pid 4321); confirmed in use at the end"),
        (ALL_IN_USE | {"confidence": "exact"}, "all 41 confirmed in use at the end"),
        (
            ALL_IN_USE | {"confidence": "exact", "in_use": 0},
            "confirmed: no free of these can have been missed",
        ),
        (
            ALL_IN_USE | {"maybe_freed": 2, "in_use": 39},
            "39 of 41 confirmed in use at the end; the other 2 may have been freed without being seen",
        ),
    ],
)
def test_leaks_say_how_sure_a_group_is(
    run: Run, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr("tests.unit.fake_trace.GROUPS", [GROUPS[0] | found])
    assert said in " ".join(run("leaks", "t.slab")[1].split())


@pytest.mark.parametrize(
    ("sort", "ranks"),
    [
        ("rank", [1, 2, 3]),
        ("growth", [3, 1, 2]),  # not certain: last, and as before among themselves
        ("bytes", [1, 2, 3]),
        ("objects", [3, 1, 2]),
        ("age", [2, 3, 1]),
    ],
)
def test_leaks_are_sorted(run: Run, monkeypatch: pytest.MonkeyPatch, sort: str, ranks: list[int]) -> None:
    small = {"outstanding": 50, "bytes_alloc": 50 * 8, "oldest_ns": 9 * 10**8, "growth_bytes_per_s": 5000.0}
    monkeypatch.setattr(
        "tests.unit.fake_trace.GROUPS", [*GROUPS, GROUPS[0] | small | {"rank": 3, "finding": 3}]
    )
    assert [each["rank"] for each in printed_json(run, "leaks", "t.slab", "--sort", sort)["groups"]] == ranks
    lines = run("leaks", "t.slab", "--by", "cache", "--sort", sort)[1].splitlines()[1:4]
    assert [line.split()[0] for line in lines] == [f"#{rank}" for rank in ranks]
    found = printed_json(run, "leaks", "t.slab", "--sort", sort)["findings"]
    assert [each["rank"] for each in found] == ranks


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ([401, 2, 1], "evil (pid 7; 401 of 404 objects) and 2 other processes"),
        ([90, 10], "evil (pid 7; 90 of 100 objects) and 1 other process"),
        ([89, 11], "evil, sh (2 pids)"),
        ([401, 2], "evil, sh (2 pids)"),  # who allocated the 97 others is not known
        ([], "evil, sh (2 pids)"),  # a live view does not count them
    ],
)
def test_a_process_that_allocated_nearly_all_is_named(objects: list[int], said: str) -> None:
    pids, every = [7, 8, 9][: len(objects) or 2], 500 if objects == [401, 2] else sum(objects)
    asked = {
        "own": False,
        "comms": ["evil", "sh"],
        "pids": pids,
        "pid_objects": objects,
        "outstanding": every,
    }
    assert who(asked) == said


@given(width=st.integers(40, 200), pid=st.integers(1, 1 << 22), name=st.text(max_size=15))
@settings(deadline=None)
def test_a_pid_is_never_cut(width: int, pid: int, name: str) -> None:
    out, group = io.StringIO(), GROUPS[1] | {"pids": [pid], "comms": [name, "python3", "x" * 15]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        listing = Listing("process", 10**9, 0, FakeCompleteness())  # type: ignore[arg-type]
        write_leaks(out, pd.DataFrame([group]), listing)
    assert str(pid) in out.getvalue().splitlines()[1].split()


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--cache", "msg_*"], ["msg_msg-128"]),
        (["--cache", "msg_*", "--cache", "kmalloc-cg-*"], ["kmalloc-cg-192", "msg_msg-128"]),
        (["--cache", "seq_file"], []),  # an alias of filp, where nothing is outstanding
        (["--symbol", "pipe_info"], ["kmalloc-cg-192"]),
        (["--call-site", r"^load_msg\+"], ["msg_msg-128"]),
        (["--pid", "1234"], ["msg_msg-128"]),
        (["--pid", "1234", "--pid", "4321"], ["kmalloc-cg-192", "msg_msg-128"]),
        (["--comm", "pipes"], ["kmalloc-cg-192"]),
        (["--min-outstanding", "41"], ["kmalloc-cg-192"]),
        (["-l", "1"], ["kmalloc-cg-192"]),
    ],
)
def test_leaks_filters(run: Run, filters: list[str], found: list[str]) -> None:
    document = printed_json(run, "leaks", "t.slab", *filters)
    assert [group["cache"] for group in document["groups"]] == found
    assert [each["cache"] for each in document["findings"]] == found


UNKNOWN = GROUPS[0] | {"confidence": "unprovable", "maybe_freed": None}


def test_leaks_say_what_is_unverified(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.fake_trace.GROUPS", [UNKNOWN])
    out = " ".join(run("leaks", "t.slab")[1].split())
    said = "unverified: some free paths cannot be traced on this kernel; 23 of 41 confirmed in use at the end"
    assert said in out
    assert " ?  kmalloc" in run("leaks", "t.slab", "--by", "call-site")[1]


def test_the_oldest_objects_are_listed_in_cards(run: Run) -> None:
    out = run("leaks", "t.slab", "--class", "young", "--objects", "2")[1]
    assert (
        "  oldest 2 of 23:\n    0xffff888004205500, 1.5 s old, 128 B, evil\\x1b]0;owned\\x07 (tid 1234)"
        in out
    )
    assert "    0xffff888004205580, 1.5 s old, 128 B, tid 1235\n      drgn: prog.read(1, 128)\n" in out
    assert "      crash: rd 0xffff888004205500 16\n" in out and "objects may be freed by now" in out
    every = run("leaks", "t.slab", "--objects", "1")[1]
    assert "others:" not in every and "  oldest 1 of 23:" in every and "  oldest 0 of 41:" in every


def test_the_oldest_objects_in_json(run: Run) -> None:
    document = printed_json(run, "leaks", "t.slab", "--objects", "1")
    pipes, messages = document["findings"]
    assert pipes["oldest"] == [] and document["addresses_made_up"] is False
    assert set(messages["oldest"][0]) == set(OLDEST.names)
    assert (messages["oldest"][0]["ptr"], messages["oldest"][0]["comm"]) == ("0xffff888004205500", HOSTILE)
    assert "oldest" not in printed_json(run, "leaks", "t.slab")["findings"][0]


def test_a_redacted_trace_says_that_addresses_are_made_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def redacted(self: FakeTrace) -> None:
        made(self)
        self.manifest.redacted = True

    made = FakeTrace.__init__
    monkeypatch.setattr(FakeTrace, "__init__", redacted)
    out = " ".join(run("leaks", "t.slab", "--objects", "1")[1].split())
    assert (
        "the addresses of objects are made up, because the trace is redacted" in out and "in crash" not in out
    )


def test_objects_are_of_findings(run: Run) -> None:
    status, out, err = run("leaks", "t.slab", "--by", "cache", "--objects", "1")
    assert status == 2 and "leave out --by" in err and out == ""


@pytest.mark.parametrize("options", [[], ["--class", "young"], ["--by", "stack"], ["--by", "cache"]], ids=str)
def test_names_of_merged_caches_are_escaped(
    options: list[str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = {**GROUPS[1], "aliases": [HOSTILE], "alias": "", "object": ""}
    monkeypatch.setattr(FakeTrace, "leaks", lambda self, *asked, **more: pd.DataFrame([hostile]))
    monkeypatch.setattr(FakeTrace, "findings", lambda self, **asked: pd.DataFrame([finding(hostile)]))
    out = run("leaks", "t.slab", *options)[1]
    assert "\x1b" not in out and "\x07" not in out and "msg_msg-" in out
