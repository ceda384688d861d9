# SPDX-License-Identifier: Apache-2.0
"""Folders of traces, as strangers and rotations leave them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slabtrace.fleet.sources import local
from slabtrace.fleet.sources.items import DIGEST, FOLDER, PACKED
from tests.unit.synthetic import alloc, write_trace


def test_traces_packed_ones_and_digests_at_any_depth(tmp_path: Path) -> None:
    write_trace(tmp_path / "a" / "b" / "t.slab", [alloc(1, 2)])
    write_trace(tmp_path / "renamed", [alloc(1, 2)])
    (tmp_path / "p.slab.zip").write_bytes(b"123")
    (tmp_path / "a" / "d.digest.parquet").write_bytes(b"1")
    (tmp_path / "a" / "other.txt").write_bytes(b"1")
    found = local.find(str(tmp_path))
    kinds = {(each.kind, str(Path(each.place).relative_to(tmp_path))) for each in found.items}
    assert kinds == {
        (FOLDER, "a/b/t.slab"),
        (FOLDER, "renamed"),
        (PACKED, "p.slab.zip"),
        (DIGEST, "a/d.digest.parquet"),
    }
    assert found.unread == []
    (trace,) = (each for each in found.items if each.place.endswith("t.slab"))
    files = [path for path in (tmp_path / "a/b/t.slab").rglob("*") if path.is_file()]
    assert trace.bytes == sum(path.stat().st_size for path in files)


def test_links_and_fifos_are_named_and_not_followed(tmp_path: Path) -> None:
    outside = write_trace(tmp_path / "outside" / "t.slab", [alloc(1, 2)])
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "l.slab").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "l.digest.parquet").symlink_to("/etc/passwd")
    os.mkfifo(folder / "f.slab.zip")
    os.mkfifo(folder / "f.slab")
    found = local.find(str(folder))
    assert found.items == []
    links, others = ("l.slab", "l.digest.parquet"), ("f.slab.zip", "f.slab")
    expected = dict.fromkeys(links, local.LINK) | dict.fromkeys(others, local.NOT_PLAIN)
    assert {Path(place).name: why for place, why in found.unread} == expected


def test_a_place_that_is_named_may_be_a_link(tmp_path: Path) -> None:
    trace = write_trace(tmp_path / "t.slab", [alloc(1, 2)])
    link = tmp_path / "link"
    link.symlink_to(trace)
    assert [each.kind for each in local.find(str(link)).items] == [FOLDER]


@pytest.mark.parametrize("place", ["/no/such/place", "/dev/null"])
def test_what_is_no_place_is_unread(place: str) -> None:
    found = local.find(place)
    assert found.items == [] and [each for each, _ in found.unread] == [place]


def test_a_hundred_thousand_files_are_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small: the number of system calls grows with the files, not with their square."""
    for at in range(300):
        (tmp_path / f"{at}.digest.parquet").touch()
    listed: list[object] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    assert len(local.find(str(tmp_path)).items) == 300
    assert listed == [tmp_path]


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    name = "a\n\x1b[31m'\"<b>\u202e.digest.parquet"
    (tmp_path / name).touch()
    (tmp_path / os.fsdecode(b"\xff.digest.parquet")).touch()
    assert len(local.find(str(tmp_path)).items) == 2
