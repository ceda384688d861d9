# SPDX-License-Identifier: Apache-2.0
"""Events as text of ftrace, read back by the importer."""

from __future__ import annotations

from pathlib import Path

import pytest

import slabtrace
from slabtrace.commands.main import run
from slabtrace.trace.format.schema import Kind
from tests.places import FIXTURES


@pytest.mark.parametrize("name", ["slow-leak", "double-free"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    text, again = tmp_path / "t.txt", tmp_path / "t.slab"
    assert run(["export", str(FIXTURES / f"{name}.slab"), "--to", "ftrace", "-o", str(text)]) == 0
    assert run(["import", str(text), "-o", str(again), "--kernel", "6.18"]) == 0
    columns = ["ptr", "kind", "bytes_alloc", "tid"]
    shared = {int(each) for each in (Kind.KMALLOC, Kind.CACHE_ALLOC, Kind.KFREE, Kind.CACHE_FREE)}

    def rows(path: Path) -> list[tuple[object, ...]]:
        found = [row for batch in slabtrace.open(path).events(columns) for row in batch.to_pylist()]
        return [
            (row["ptr"], row["kind"], row["bytes_alloc"] if row["kind"] < 16 else 0, row["tid"])
            for row in found
            if row["kind"] in shared
        ]

    assert rows(again) == rows(FIXTURES / f"{name}.slab")


def test_names_cannot_break_a_line(tmp_path: Path) -> None:
    from slabtrace.render.export.ftrace import _printable

    assert _printable("a\nb\x1b[31m") == "a?b?[31m"
