# SPDX-License-Identifier: Apache-2.0
"""The disk is bounded, and what is worth most goes last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slabtrace.watching.room import KEPT_DIGESTS, bytes_of, make_room
from tests.unit.synthetic import alloc, write_trace

MIB = 1 << 20


def part(folder: Path, name: str, size: int = MIB) -> Path:
    trace = write_trace(folder / f"{name}.slab", [alloc(1, 2)])
    (trace / "large.arrow").write_bytes(b"x" * size)
    return trace


def file(path: Path, age: int, size: int = MIB) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


@pytest.fixture
def full(tmp_path: Path) -> tuple[Path, list[Path]]:
    """About 14 MiB: two earlier parts, four of this series, two triggered recordings."""
    for number in (1, 2):
        part(tmp_path, f"series-20260101-000000.000{number}")
    series = [part(tmp_path, f"series-20260102-000000.000{number}") for number in (1, 2, 3, 4)]
    for age in (2, 1):
        for name in ("html", "digest.parquet"):
            file(tmp_path / "triggered" / f"t{age}.{name}", age)
        trace = part(tmp_path / "triggered", f"t{age}")
        os.utime(trace, (1e9 - age, 1e9 - age))
    return tmp_path, series


def names(folder: Path) -> set[str]:
    found = (path.name for path in [*folder.iterdir(), *(folder / "triggered").iterdir()])
    return {name.replace(".slab", "") for name in found} - {"triggered"}


def test_nothing_goes_while_there_is_room(full: tuple[Path, list[Path]]) -> None:
    folder, series = full
    before = names(folder)
    left = make_room(folder, 100 * MIB, 24, series)
    assert names(folder) == before and left == bytes_of(folder) > 12 * MIB


def test_the_oldest_goes_first(full: tuple[Path, list[Path]]) -> None:
    folder, series = full
    before = names(folder)
    gone = []
    for most in range(12, 0, -1):
        assert make_room(folder, most * MIB, 24, series) == bytes_of(folder)
        now = names(folder)
        gone += sorted(before - now)
        before = now
    assert gone[:2] == ["series-20260101-000000.0001", "series-20260101-000000.0002"]
    assert set(gone[2:5]) == {"t2", "t2.html", "t2.digest.parquet"}
    assert gone[5:] == ["series-20260102-000000.0001", "series-20260102-000000.0002"]
    assert {path.name for path in series[-2:]} <= {path.name for path in folder.iterdir()}


def test_as_soon_as_there_is_room_nothing_more_goes(full: tuple[Path, list[Path]]) -> None:
    folder, series = full
    total = bytes_of(folder)
    assert total - MIB * 3 < make_room(folder, total - 1, 24, series) < total


def test_parts_of_earlier_series_count_for_keep(full: tuple[Path, list[Path]]) -> None:
    folder, series = full
    make_room(folder, 100 * MIB, 4, series)
    assert len(list(folder.glob("series-*"))) == 5  # the recorder may be about to delete one


def test_old_digests_go(tmp_path: Path) -> None:
    for age in range(KEPT_DIGESTS + 20):
        file(tmp_path / "digests" / f"{age}.digest.parquet", age, 10)
    make_room(tmp_path, 100 * MIB, 24, [])
    left = {path.name for path in (tmp_path / "digests").iterdir()}
    assert len(left) == KEPT_DIGESTS and "0.digest.parquet" in left


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    (tmp_path / "series-x.slab").mkdir()
    (tmp_path / "series-x.slab" / "precious").write_bytes(b"x" * MIB)
    outside = tmp_path.parent / "outside.slab"
    part(tmp_path.parent, "outside")
    (tmp_path / "series-0.slab").symlink_to(outside)
    make_room(tmp_path, 1, 24, [])
    assert (tmp_path / "series-x.slab" / "precious").exists() and (outside / "manifest.json").exists()
