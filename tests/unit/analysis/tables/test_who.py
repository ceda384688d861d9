# SPDX-License-Identifier: Apache-2.0
"""Who holds what: 30 runs of one command, a daemon in a container, a kernel thread; in a made-up trace."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import slabtrace
from slabtrace.analysis.grouping.whose import KINDS
from slabtrace.columns import WHO
from slabtrace.render.terminal.outstanding.who import identity, write_who
from slabtrace.trace.format.schema import CgroupEvent, ProcessEvent
from tests.unit.synthetic import START, Event, write_trace

S = 1_000_000_000
ID = "4b" * 32
CRON, DAEMON, THREAD, FIRST, RUNS = 50, 60, 70, 100, 30
POSTQUEUE = "postqueue -p"


def process(ts_ns: int, event: int, tgid: int, **more: Any) -> dict[str, Any]:
    row = dict.fromkeys(("parent", "pid_ns", "net_ns", "hierarchy", "cgroup"), 0)
    return row | {"ts_ns": START + ts_ns, "event": event, "tgid": tgid, "exe": "", "command": ""} | more


def tables() -> dict[str, list[dict[str, Any]]]:
    rows = [
        process(-9, ProcessEvent.RUNNING, CRON, command="/usr/sbin/cron -f", cgroup=5),
        process(-8, ProcessEvent.RUNNING, DAEMON, command="redis-server", cgroup=6, parent=1),
        process(-7, ProcessEvent.RUNNING, THREAD),
    ]
    for at in range(RUNS):
        pid, begin = FIRST + at, 1000 * at
        rows += [
            process(begin, ProcessEvent.FORK, pid, parent=CRON, cgroup=5),
            process(
                begin + 10, ProcessEvent.EXEC, pid, parent=CRON, cgroup=5, command=POSTQUEUE, exe="/bin/pq"
            ),
            process(begin + 500, ProcessEvent.EXIT, pid),
        ]
    names = {CRON: "cron", DAEMON: "redis", THREAD: "kworker/0:1"} | {FIRST + at: "pq" for at in range(RUNS)}
    paths = {5: "/system.slice/cron.service", 6: f"/system.slice/docker-{ID}.scope"}
    cgroup = {"ts_ns": START, "hierarchy": 0, "controllers": "", "event": CgroupEvent.SEEN}
    return {
        "processes": rows,
        "cgroups": [cgroup | {"cgroup": number, "path": path} for number, path in paths.items()],
        "tasks": [{"ts_ns": START, "tid": tid, "tgid": tid, "comm": comm} for tid, comm in names.items()],
    }


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Each run leaves one object of 64 bytes, the daemon 7, the kernel thread 3, an unknown task 1."""
    left = [(1000 * at + 100, FIRST + at) for at in range(RUNS)]
    left += (
        [(40_000 + at, DAEMON) for at in range(7)]
        + [(50_000 + at, THREAD) for at in range(3)]
        + [(60_000, 999)]
    )
    events = [
        Event(START + ts_ns, 0x1000 + 64 * at, bytes_alloc=64, bytes_req=60, call_site=0xFFFF, tid=tid)
        for at, (ts_ns, tid) in enumerate(left)
    ]
    return write_trace(tmp_path / "t.slab", events, tables())


def rows(trace: Path, by: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in slabtrace.open(trace).who(by).to_dict("records")}


def test_by_command(trace: Path) -> None:
    found = rows(trace, "command")
    assert {name: row["outstanding"] for name, row in found.items()} == {
        POSTQUEUE: RUNS, "redis-server": 7, "[kworker/0:1]": 3, "": 1,
    }  # fmt: skip
    queue, redis = found[POSTQUEUE], found["redis-server"]
    assert (queue["processes"], queue["alive"], queue["bytes_alloc"]) == (RUNS, 0, RUNS * 64)
    assert (queue["parents"], queue["units"]) == (["/usr/sbin/cron -f"], ["cron.service"])
    assert (redis["processes"], redis["alive"], redis["containers"]) == (1, 1, [ID])
    assert found[""]["processes"] == 1 and found[""]["commands"] == []


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        ("cgroup", {"/system.slice/cron.service": RUNS, f"/system.slice/docker-{ID}.scope": 7, "": 4}),
        ("unit", {"cron.service": RUNS, f"docker-{ID}.scope": 7, "": 4}),
        ("container", {"": RUNS + 4, ID: 7}),
    ],
)
def test_by_where_they_ran(trace: Path, by: str, wanted: dict[str, int]) -> None:
    assert {name: row["outstanding"] for name, row in rows(trace, by).items()} == wanted


@pytest.mark.parametrize(
    ("globs", "wanted"),
    [
        (["/system.slice/cron.service"], RUNS),
        (["/system.slice"], RUNS + 7),
        (["*/docker-*", "*.service"], RUNS + 7),
        (["*/docker-*"], 7),
        (["/user.slice"], 0),
    ],
)
def test_only_those_of_some_cgroups(trace: Path, globs: list[str], wanted: int) -> None:
    opened = slabtrace.open(trace)
    assert opened.who("process", cgroup=globs)["outstanding"].sum() == wanted
    assert opened.leaks("cache", cgroup=globs)["outstanding"].sum() == wanted
    assert opened.findings(cgroup=globs)["outstanding"].sum() == wanted
    assert opened.outstanding(cgroup=globs)["outstanding"].sum() == wanted


def test_of_a_cgroup_and_of_a_process(trace: Path) -> None:
    opened = slabtrace.open(trace)
    between = (START, START + 1000 * RUNS)  # ns since the begin
    assert opened.who(cgroup=["*cron*"], pid=[FIRST, DAEMON])["outstanding"].sum() == 1
    assert opened.who(cgroup=["*cron*"], comm=["redis"])["outstanding"].sum() == 0
    assert opened.leaks(cgroup=["/system.slice"], between=between)["outstanding"].sum() == RUNS


def test_a_process_counts_by_the_cgroup_it_was_in_then(tmp_path: Path) -> None:
    """It is moved at 500, and the cgroup it was in goes."""
    rows = tables()
    rows["processes"].append(process(500, ProcessEvent.MOVED, DAEMON, cgroup=5))
    gone = {"ts_ns": START + 600, "event": CgroupEvent.GONE, "path": "", "cgroup": 6}
    rows["cgroups"].append(rows["cgroups"][0] | gone)
    events = [Event(at, 0x1000 + 64 * at, bytes_alloc=64, call_site=0xFFFF, tid=DAEMON) for at in (1, 2, 700)]
    opened = slabtrace.open(write_trace(tmp_path / "t.slab", events, rows))
    counts = [opened.who(cgroup=[glob])["outstanding"].sum() for glob in ("*/docker-*", "*/cron.service")]
    assert counts == [2, 1]


@pytest.mark.parametrize("command", ["leaks", "who"])
def test_the_option(trace: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    from slabtrace.commands import main

    argv = [command, str(trace), "--cgroup", "*/docker-*", "--cgroup", "/system.slice/cron*", "--json"]
    assert main.run(argv) == 0
    content = json.loads(capsys.readouterr().out)
    rows = content["groups" if command == "leaks" else "who"]
    assert sum(row["outstanding"] for row in rows) == RUNS + 7
    assert main.run([command, str(trace), "--cgroup", "/nginx"]) == 2
    assert "no cgroup of the trace matches '/nginx'" in capsys.readouterr().err


def test_the_option_where_cgroups_are_not_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from slabtrace.commands import main

    events = [Event(START + 5, 0x1000, bytes_alloc=64, call_site=0xFFFF, tid=CRON)]
    path = write_trace(tmp_path / "old.slab", events, {"tasks": tables()["tasks"]})
    assert main.run(["leaks", str(path), "--cgroup", "*"]) == 2
    said = capsys.readouterr().err
    assert "does not say which cgroups tasks were in" in said and "since format 2.2" in said


def test_by_process(trace: Path) -> None:
    found = rows(trace, "process")
    assert len(found) == RUNS + 3 and found[str(FIRST)]["commands"] == [POSTQUEUE]
    assert found[str(DAEMON)]["pids"] == [DAEMON]


def test_every_kind_gives_the_same_sums(trace: Path) -> None:
    for by in KINDS:
        frame = slabtrace.open(trace).who(by)
        assert list(frame.columns) == list(WHO.names)
        assert (frame["outstanding"].sum(), frame["bytes_alloc"].sum()) == (RUNS + 11, 64 * (RUNS + 11))
    with pytest.raises(ValueError, match="by is one of"):
        slabtrace.open(trace).who("colour")


def test_a_trace_without_processes(tmp_path: Path) -> None:
    events = [Event(START + 5, 0x1000, bytes_alloc=64, call_site=0xFFFF, tid=CRON)]
    path = write_trace(tmp_path / "old.slab", events, {"tasks": tables()["tasks"]})
    (row,) = slabtrace.open(path).who().to_dict("records")
    assert (row["name"], row["processes"]) == ("[cron]", 1)
    assert pd.isna(row["alive"])


def test_the_text(trace: Path) -> None:
    out = io.StringIO()
    frame = slabtrace.open(trace).who()
    write_who(out, frame, "command")
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert lines[0] == "bytes objects growth/min processes command"
    assert lines[1] == f"1.9 KiB 30 - 30, all gone {POSTQUEUE} (parent cron)"
    assert lines[2].startswith("448 B 7 - 1, alive redis-server")
    frame.at[1, "suspects"] = [2, 1]
    write_who(out, frame, "command")
    assert "#2, #1" in out.getvalue() and "suspects" in out.getvalue()


def test_the_command(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from slabtrace.commands import main

    assert main.run(["who", str(trace), "--by", "unit", "--json"]) == 0
    assert '"cron.service"' in capsys.readouterr().out


FINDING = {
    "processes": 30,
    "alive": 0,
    "commands": [POSTQUEUE],
    "parents": ["/usr/sbin/cron -f"],
    "cgroups": ["/"],
    "charged": [],
    "objects": 30,
}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "30 processes of `postqueue -p` (parent cron), all gone"),
        ({"alive": 3}, "30 processes of `postqueue -p` (parent cron), 3 alive"),
        ({"processes": 1}, "`postqueue -p` (parent cron), gone"),
        ({"processes": 1, "alive": 1, "parents": []}, "`postqueue -p`, alive"),
        ({"alive": None, "parents": []}, "30 processes of `postqueue -p`"),
        ({"commands": ["a", "b"], "parents": []}, "30 processes: `a` and 1 other command, all gone"),
        ({"commands": ["x" * 99], "parents": []}, f"30 processes of `{'x' * 60}…`, all gone"),
        (
            {"cgroups": ["/a.service", "/b"]},
            "30 processes of `postqueue -p` (parent cron), all gone; cgroup /a.service and 1 other cgroup",
        ),
        ({"commands": [], "cgroups": ["/a.service"]}, "cgroup /a.service"),
        ({"commands": []}, ""),
    ],
)
def test_the_sentence_of_a_finding(changed: dict[str, Any], text: str) -> None:
    assert identity(FINDING | changed) == text


def test_a_finding_names_the_commands_that_are_gone(trace: Path) -> None:
    rows = slabtrace.open(trace).findings().to_dict("records")
    (queue,) = [row for row in rows if POSTQUEUE in row["commands"]]
    assert queue["processes"] == RUNS + 3
    assert {*queue["units"]} == {"cron.service", f"docker-{ID}.scope"}


@pytest.mark.parametrize("by", [each for each in KINDS if each != "process"])
def test_groups_by_whom_have_the_sums_of_who(trace: Path, by: str) -> None:
    opened = slabtrace.open(trace)
    groups, rows = opened.leaks(by=by), opened.who(by)
    summed = groups.groupby("whose")["outstanding"].sum()
    assert summed.to_dict() == dict(zip(rows["name"], rows["outstanding"], strict=True))
