# SPDX-License-Identifier: Apache-2.0
"""The class of an inspected object, and censuses as tables: of known numbers, damaged, and hostile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slabtrace.analysis.holders import census
from slabtrace.analysis.holders.classes import class_of, searched_words, summary
from slabtrace.errors import TraceError
from slabtrace.trace.format.schema import Held


@pytest.mark.parametrize(
    ("in_use", "kind", "references", "held", "whole", "expected"),
    [
        (False, "file", 1, Held.PROCESS, True, "gone"),
        (True, "file", 1, Held.PROCESS, True, "process"),
        (True, "dentry", 0, Held.OWNER, True, "cached"),
        (True, "dentry", 1, Held.OWNER, True, "kernel"),
        (True, "inode", 0, Held.LISTED, True, "cached"),
        (True, "", None, Held.POINTER, False, "kernel"),
        (True, "", None, Held.NOTHING, True, "lost"),
        (True, "sock", 1, Held.NOTHING, True, "lost"),
        (True, "", None, Held.NOTHING, False, "unknown"),
        (True, "inode", 1, Held.LISTED, True, "unknown"),
        (True, "", None, Held.UNREAD, True, "unknown"),
    ],
)
def test_classes(
    in_use: bool, kind: str, references: int | None, held: int, whole: bool, expected: str
) -> None:
    assert class_of(in_use, kind, references, held, whole) == expected


def test_where_was_searched() -> None:
    assert searched_words({"slab": 197 << 20, "stack": 300 << 10, "data": 0}) == "197 MiB of slabs, 300 KiB of kernel stacks"  # fmt: skip  # noqa: E501
    assert searched_words({}) == "nothing"


def test_a_summary_counts_equal_holders_together_and_bounds_the_others() -> None:
    holders = ["in the receive queue of sock UNIX", "fd 5 of nginx (pid 812)"]
    rows: list[dict[str, Any]] = [
        {"held": "process", "kind": "file", "cache": "filp", "holders": holders, "description": f"/tmp/{i}"}
        for i in range(211)
    ]
    lost = {"held": "lost", "kind": "", "cache": "kmalloc-64", "holders": [], "description": ""}
    others = [{**lost, "held": "kernel", "holders": [f"thing {each}"]} for each in "abcde"]
    assert summary([*others, *rows, lost, lost]) == [
        "211 × file, held by a process: in the receive queue of sock UNIX ← fd 5 of nginx (pid 812); "
        "one is /tmp/0",
        "2 × kmalloc-64, lost: nothing that was searched points at it",
        "1 × kmalloc-64, held by the kernel: thing a",
        "4 others, held in 4 other ways",
    ]  # fmt: skip


def a_census(*groups: tuple[str, str, int], **more: Any) -> dict[str, Any]:
    rows = [
        {"kind": kind, "group": group, "cache": "dentry", "objects": number, "bytes": 192 * number}
        for kind, group, number in groups
    ]
    return {"schema": census.SCHEMA, "groups": rows, "caches": [], "cgroups": [], "whole": True, **more}


def test_the_largest_group_comes_first_with_who_holds_its_sample() -> None:
    sample = [
        {"group": 1, "in_use": True, "kind": "file", "references": 1, "held": 5, "holders": [holder]}
        for holder in ("fd 3 of a (pid 1)", "fd 4 of a (pid 1)", "fd 3 of b (pid 2)")
    ]
    content = a_census(("dentry", "in /a", 1), ("file", "in /b", 7), sample=sample)
    table = census.table(content, "groups")
    assert table["group"].tolist() == ["in /b", "in /a"]
    assert table["holders"].tolist() == [["2 of 3: process, a (pid 1)", "1 of 3: process, b (pid 2)"], []]


def test_changes_have_what_came_what_went_and_not_what_stayed() -> None:
    old = a_census(("dentry", "in /a", 10), ("dentry", "in /b", 5), ("file", "in /c", 3))
    new = a_census(("dentry", "in /a", 221), ("file", "in /c", 3), ("key", "user", 1))
    changed = census.changes(old, new, "groups")
    assert changed[["group", "objects_change"]].values.tolist() == [
        ["in /a", 211],
        ["in /b", -5],
        ["user", 1],
    ]
    assert changed["bytes_change"].tolist() == [211 * 192, -5 * 192, 192]


def test_a_census_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(a_census(("dentry", "in /a", 1))))
    assert census.load(path)["groups"][0]["objects"] == 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": "slabtrace.census/99"}', "[" * 100_000, '{"schema": 1}']
)
def test_what_is_no_census_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    with pytest.raises(TraceError, match="is no census"):
        census.load(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="there is no file"):
        census.load(tmp_path / "c.json")


@pytest.mark.parametrize(
    "part",
    [
        {"sample": [{"group": 0, "in_use": True, "held": "5", "holders": []}]},
        {"sample": [{"group": 0, "in_use": True, "held": 5, "holders": [7]}]},
        {"sample": {"group": 0}},
        {"searched": {"slab": "much"}},
        {"seconds": float("inf")},
        {"notes": [7]},
        {"allocations": [{"bytes": "x", "function": "f", "place": "p"}]},
        {"caches": [{"cache": "a", "objects": "many", "bytes": 1, "slab_bytes": 1, "unread": 0}]},
    ],
)
def test_a_damaged_part_is_refused(tmp_path: Path, part: dict[str, Any]) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(a_census(("dentry", "in /a", 1)) | part))
    with pytest.raises(TraceError, match="damaged"):
        census.load(path)


@pytest.mark.parametrize(
    "groups",
    [None, 7, [1], [{"kind": "x"}], [{"kind": 1, "group": 2, "cache": 3, "objects": "x", "bytes": 1}]],
)
def test_a_damaged_list_is_refused(groups: Any) -> None:
    with pytest.raises(TraceError):
        census.table({"groups": groups}, "groups")
