# SPDX-License-Identifier: Apache-2.0
"""`slabtrace plot`: pictures in both formats, nothing overwritten unasked, hostile names harmless."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

import slabtrace
from slabtrace.commands import _main
from slabtrace.render import plots
from tests.unit.fake_trace import FakeTrace


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slabtrace, "open", lambda path: FakeTrace())


def plot(*args: str | Path) -> int:
    return _main.run(["plot", "t.slab", *map(str, args)])


def test_png_is_1200_by_700(tmp_path: Path) -> None:
    picture = tmp_path / "u.png"
    assert plot("-o", picture) == 0
    content = picture.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (1200, 700)


def test_svg_is_well_formed_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    assert plot("-o", first) == plot("-o", second) == 0
    assert ElementTree.parse(first).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert first.read_bytes() == second.read_bytes()


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "u.png"
    picture.write_text("precious")
    assert plot("-o", picture) == 2
    assert picture.read_text() == "precious"
    assert f"{picture} exists" in capsys.readouterr().err
    assert plot("-o", picture, "--force") == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["u.png"]  # no temporary file is left


@pytest.mark.parametrize(
    ("name", "said"),
    [("u.pdf", "says no picture format"), ("no/such/u.png", "there is no folder")],
)
def test_bad_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    assert plot("-o", tmp_path / name) == 2
    assert said in capsys.readouterr().err


def test_a_failed_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full_disk(descriptor: int, mode: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fchmod", full_disk)
    assert plot("-o", tmp_path / "u.png") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_caches_that_moved_most_are_drawn() -> None:
    usage = pd.DataFrame(
        [
            {"ts_ns": t, "cache": name, "objects": n, "bytes": n}
            for name, numbers in (("flat", [10**9] * 3), ("spike", [0, 500, 0]), ("drift", [7, 8, 9]))
            for t, n in enumerate(numbers)
        ]
    )
    assert [name for name, _ in plots._by_peak_change(usage, 2)] == ["spike", "drift"]


def test_an_empty_trace_still_gives_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = FakeTrace()
    monkeypatch.setattr(empty, "usage", lambda: FakeTrace().usage().head(0))
    monkeypatch.setattr(slabtrace, "open", lambda path: empty)
    picture = tmp_path / "u.svg"
    assert plot("-o", picture) == 0
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
