# SPDX-License-Identifier: Apache-2.0
"""Which memory cgroup is charged for what a finding leaves, and where its tasks were; in made-up traces."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.commands import main
from slabtrace.render.terminal.outstanding.leaks import Listing, write_leaks
from slabtrace.render.terminal.outstanding.who import charged
from slabtrace.trace.format.schema import CgroupEvent, ProcessEvent
from tests.unit.synthetic import START, Event, alloc, free, write_trace

S = 1_000_000_000
MEMORY, DEFAULT = 4, 0
WATCHED, WATCHES, OUTSIDE = 50, 60, 70
SIZE = 64


def process(tgid: int, hierarchy: int = DEFAULT, cgroup: int = 1, event: int = ProcessEvent.RUNNING) -> Any:
    row = dict.fromkeys(("parent", "pid_ns", "net_ns"), 0)
    return row | {
        "ts_ns": START - 9, "event": event, "tgid": tgid, "hierarchy": hierarchy, "cgroup": cgroup, "exe": "",
        "command": f"command {tgid}",
    }  # fmt: skip


def tables(
    charges: dict[int, int], hierarchy: int = MEMORY, ts_ns: int = START + 20 * S
) -> dict[str, list[dict[str, Any]]]:
    """`charges`: {address: cgroup}.  WATCHED is in /b, WATCHES in /a, OUTSIDE in no cgroup of its own."""
    paths = {1: "/", 7: "/a", 8: "/b"}
    controllers = "memory" if hierarchy else ""
    cgroups = [
        {"ts_ns": START, "event": CgroupEvent.SEEN, "hierarchy": hierarchy, "cgroup": number, "path": path}
        | {"controllers": controllers}
        for number, path in paths.items()
    ]
    rows = [process(WATCHED), process(WATCHES), process(OUTSIDE)]
    rows += [
        process(tgid, hierarchy, number, ProcessEvent.MOVED) for tgid, number in ((WATCHED, 8), (WATCHES, 7))
    ]
    entries = [
        {"ts_ns": ts_ns, "ptr": ptr, "hierarchy": hierarchy if number else 0, "cgroup": number}
        for ptr, number in charges.items()
    ]
    tasks = [
        {"ts_ns": START, "tid": tid, "tgid": tid, "comm": f"task-{tid}"}
        for tid in (WATCHED, WATCHES, OUTSIDE)
    ]
    return {"cgroups": cgroups, "processes": rows, "charged": entries, "tasks": tasks}


def left(tid: int, number: int, first: int = 0x1000) -> list[Event]:
    """Objects of one site that a task leaves."""
    return [alloc(100 * at, first + SIZE * at, tid=tid, call_site=0x100 + tid) for at in range(number)]


def found(trace: Path) -> dict[int, list[dict[str, Any]]]:
    """The column `charged`, by the only process of each finding."""
    rows = slabtrace.open(trace).findings().to_dict("records")
    return {row["pids"][0]: row["charged"] for row in rows}


def entry(cgroup: str, number: int, objects: int, *tasks: str) -> dict[str, Any]:
    return {"cgroup": cgroup, "number": number, "objects": objects, "tasks": list(tasks)}


@pytest.mark.parametrize("hierarchy", [MEMORY, DEFAULT])
def test_the_cgroup_that_is_charged_and_those_of_the_tasks(tmp_path: Path, hierarchy: int) -> None:
    events = [*left(WATCHED, 5), *left(WATCHES, 3, 0x2000)]
    charges = {event.ptr: 7 for event in events}
    trace = write_trace(tmp_path / "t.slab", events, tables(charges, hierarchy), seconds=30)
    assert found(trace) == {WATCHED: [entry("/a", 7, 5, "/b")], WATCHES: [entry("/a", 7, 3, "/a")]}


def test_several_cgroups_and_none_most_objects_first(tmp_path: Path) -> None:
    events = left(OUTSIDE, 8)
    charges = dict(zip((event.ptr for event in events), [7, 7, 99, 0, 0, 0, 7], strict=False))
    trace = write_trace(tmp_path / "t.slab", events, tables(charges), seconds=30)
    wanted = [
        entry("/a", 7, 3, "/"),
        entry("(not charged)", 0, 3, "/"),
        entry("cgroup 99", 99, 1, "/"),
    ]
    assert sorted(found(trace)[OUTSIDE], key=str) == sorted(wanted, key=str)
    assert [each["objects"] for each in found(trace)[OUTSIDE]] == [3, 3, 1]


def test_traces_without_charges(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.slab", left(WATCHED, 3), tables({}), seconds=30)
    assert found(trace) == {WATCHED: []}
    rows = slabtrace.open(trace).leaks(by="charged")
    assert rows["whose"].tolist() == [""] and rows["outstanding"].tolist() == [3]


def mixed(folder: Path) -> Path:
    """WATCHED leaves 4 objects that are charged to /a, 2 to /b, 1 to none, 1 unknown, and frees 50."""
    freed = [
        event
        for at in range(50)
        for event in (
            alloc(10 * at, 0x9000, tid=WATCHED, call_site=0x100 + WATCHED),
            free(10 * at + 5, 0x9000, tid=WATCHED),
        )
    ]
    kept = [
        Event(1000 + at, event.ptr, call_site=0x100 + WATCHED, tid=WATCHED)
        for at, event in enumerate(left(WATCHED, 8, 0x9000))
    ]
    numbers = [7, 7, 7, 7, 8, 8, 0]
    charges = dict(zip((event.ptr for event in kept), numbers, strict=False))
    return write_trace(folder / "t.slab", [*freed, *kept], tables(charges), seconds=30)


WANTED = {"/a": 4, "/b": 2, "(not charged)": 1, "": 1}


def test_groups_by_charged(tmp_path: Path) -> None:
    opened = slabtrace.open(mixed(tmp_path))
    rows = opened.leaks(by="charged").set_index("whose")
    assert rows["outstanding"].to_dict() == WANTED
    assert rows["allocated"].to_dict() == WANTED | {"": 51}
    assert set(rows["class"]) == set(opened.findings()["class"])
    who = opened.who("charged").set_index("name")
    assert who["outstanding"].to_dict() == WANTED
    assert who["bytes_alloc"].to_dict() == {name: SIZE * number for name, number in WANTED.items()}


def test_the_growth_of_findings_is_divided_by_bytes(tmp_path: Path) -> None:
    """48 objects leak, one each half second, a quarter of them charged to /a; the others to /b."""
    events = [
        Event(S // 2 * at, 0x1000 + SIZE * at, tid=WATCHED, call_site=0x100 + WATCHED) for at in range(48)
    ]
    charges = {event.ptr: 8 if at % 4 else 7 for at, event in enumerate(events)}
    trace = write_trace(tmp_path / "t.slab", events, tables(charges, ts_ns=START + 24 * S), seconds=24)
    opened = slabtrace.open(trace)
    (finding,) = opened.findings().to_dict("records")
    rows = opened.leaks(by="charged").set_index("whose")
    assert finding["class"] in ("suspect", "growing") and finding["growth_low"] > 0
    for name in ("growth_bytes_per_s", "growth_low", "growth_high", "rate_per_s"):
        assert rows[name]["/a"] == pytest.approx(finding[name] / 4)
        assert rows[name]["/b"] == pytest.approx(finding[name] * 3 / 4)
    assert set(rows["p"]) == {finding["p"]}


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    opened, out = slabtrace.open(mixed(tmp_path)), io.StringIO()
    write_leaks(
        out, opened.leaks(by="charged"), Listing("charged", opened.length_ns, 0, opened.completeness())
    )
    ends = sorted(line.split()[-1] for line in out.getvalue().splitlines()[1:])
    assert ends == sorted(["/a", "/b", "charged)", "known)"])


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = str(mixed(tmp_path))
    assert main.run(["leaks", trace, "--by", "charged", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {row["whose"]: row["outstanding"] for row in content["groups"]} == WANTED
    (finding,) = content["findings"]
    assert [each["objects"] for each in finding["charged"]] == [4, 2, 1]
    assert main.run(["who", trace, "--by", "charged"]) == 0
    assert "(not charged)" in capsys.readouterr().out
    assert main.run(["leaks", trace, "--class", finding["class"]]) == 0
    assert "charged to memory cgroup /a (4 of 8 objects)" in " ".join(capsys.readouterr().out.split())


OF_A = entry("/a", 7, 30, "/a")


@pytest.mark.parametrize(
    ("entries", "shown", "text"),
    [
        ([], [], ""),
        ([OF_A], [], "charged to memory cgroup /a"),
        ([OF_A], ["/a"], "charged to it"),
        ([OF_A], ["/user.slice"], "charged to memory cgroup /a"),
        ([OF_A], ["/a", "/b"], "charged to memory cgroup /a"),
        ([OF_A | {"objects": 20}], ["/a"], "charged to it (20 of 30 objects)"),
        ([OF_A | {"tasks": ["/b"]}], ["/b"], "charged to memory cgroup /a, while the tasks were in /b"),
        (
            [OF_A | {"tasks": ["/b", "/c", "/"]}],
            [],
            "charged to memory cgroup /a, while the tasks were in /b and 2 other cgroups",
        ),
        ([OF_A | {"tasks": []}], [], "charged to memory cgroup /a"),
        (
            [OF_A | {"objects": 20}, entry("(not charged)", 0, 9, "/a"), entry("/b", 8, 1, "/a")],
            ["/a"],
            "charged to memory cgroup /a (20 of 30 objects) and 1 other memory cgroup",
        ),
        ([entry("(not charged)", 0, 30, "/")], [], ""),
        ([entry("(not charged)", 0, 30)], [], ""),
        (
            [entry("(not charged)", 0, 30, "/a")],
            ["/a"],
            "not charged to any memory cgroup, while the tasks were in /a",
        ),
        (
            [entry("cgroup 99", 99, 30, "/")],
            [],
            "charged to memory cgroup 99, while the tasks were in /",
        ),
    ],
)
def test_the_sentence(entries: list[dict[str, Any]], shown: list[str], text: str) -> None:
    assert charged({"charged": entries, "objects": 30}, shown) == text
