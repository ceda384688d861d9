# SPDX-License-Identifier: Apache-2.0
"""`slabtrace plot`: pictures in both formats, nothing overwritten without --force, hostile names harmless."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import slabtrace
from slabtrace.cli.pictures import PICTURES
from slabtrace.commands import main
from slabtrace.render.plots.canvas import Notes, by_swing
from slabtrace.render.plots.rates import draw_rates
from slabtrace.render.plots.usage import draw_usage
from tests.unit.fake_trace import FakeTrace

SVG_TAGS = {
    "svg", "metadata", "RDF", "Work", "type", "Agent", "title", "creator", "format", "defs", "style", "g",
    "path", "use", "clipPath", "rect", "date", "image",
}  # fmt: skip


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slabtrace, "open", lambda path: FakeTrace())


def plot(*args: str | Path) -> int:
    return main.run(["plot", "t.slab", *map(str, args)])


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
    [("u.pdf", "does not say which format"), ("no/such/u.png", "there is no folder")],
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
    assert [name for name, _ in by_swing(usage, "bytes", 2)] == ["spike", "drift"]


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_gives_a_picture_of_a_trace_and_of_an_empty_one(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, empty = tmp_path / "full.svg", tmp_path / "empty.svg"
    assert plot("-o", full, "--kind", kind) == 0
    nothing = FakeTrace()
    for name in ("usage", "call_site_usage", "size_classes", "lifetime_histogram", "marks", "losses"):
        table = getattr(nothing, name)().head(0)
        monkeypatch.setattr(nothing, name, lambda *_, table=table: table)
    monkeypatch.setattr(slabtrace, "open", lambda path: nothing)
    assert plot("-o", empty, "--kind", kind) == 0
    paths = [sum(1 for _ in ElementTree.parse(picture).iter()) for picture in (full, empty)]
    assert paths[0] > paths[1] > 0


def test_a_mark_is_text_however_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slabtrace.render.plots.canvas.MARK_CELLS", 80)
    picture = tmp_path / "u.svg"
    assert plot("-o", picture) == 0
    assert {e.tag.rpartition("}")[2] for e in ElementTree.parse(picture).iter()} <= SVG_TAGS
    comments = picture.read_text()
    assert "<script" not in comments and "<img" not in comments


def test_cache_chooses_only_where_caches_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plot("-o", tmp_path / "u.svg", "--kind", "sizes", "--cache", "filp") == 2
    assert "--cache does not apply" in capsys.readouterr().err
    assert plot("-o", tmp_path / "u.svg", "--kind", "rates", "--cache", "msg_*") == 0


def test_losses_are_shaded_only_where_events_can_be_missing() -> None:
    from matplotlib.figure import Figure

    from slabtrace.render.plots.canvas import time_axis

    shades = []
    for lost in (5, 0):
        axes = Figure().subplots()
        time_axis(axes, Notes(FakeTrace().marks().head(0), FakeTrace().losses(), lost))
        shades.append([patch.get_extents().width > 0 for patch in axes.patches])
    assert shades == [[True], []]


def lines_of(usage: pd.DataFrame, partial: str = "") -> dict[str, Any]:
    """The lines, bands and words of the only panel of a picture of usage."""
    none = FakeTrace()
    notes = Notes(none.marks().head(0), none.losses().head(0), 0, partial)
    overview, panel = (half for half in draw_usage(usage, notes, "").subfigs)
    (axes,) = panel.axes
    paths = [each.get_paths()[0].vertices[:, 1] for each in axes.collections]
    return {
        "line": [float(y) for y in axes.lines[0].get_ydata()],
        "dots": len(axes.lines) > 1,
        "areas": [(float(y.min()), float(y.max())) for y in paths],
        "bottom": axes.get_ylim()[0],
        "said": panel.get_suptitle(),
        "above": [float(y) for y in overview.axes[0].lines[0].get_ydata()],
    }


def one_cache(objects: list[int], maybe: list[int], room: float, active: float = np.nan) -> pd.DataFrame:
    """Half of the objects that may be freed are expected to be."""
    expected = [n - m / 2 for n, m in zip(objects, maybe, strict=True)]
    rows = {"ts_ns": [10**9 * (i + 1) for i in range(len(objects))], "cache": "c", "objects": objects}
    rows |= {"bytes": [64 * n for n in objects], "active_objs": active, "num_objs": room, "reserved": room}
    rows |= {"room": room, "maybe_freed": maybe, "objects_expected": expected}
    return pd.DataFrame(rows | {"bytes_expected": [64 * n for n in expected]})


def test_missed_frees_are_a_band_below_the_room_with_the_line_inside() -> None:
    found = lines_of(one_cache([100, 180, 240, 160], [0, 80, 140, 0], room=150, active=100))
    assert found["line"] == [100, (100 + 150) / 2, (100 + 150) / 2, 150], "160 cannot be in use"
    assert found["areas"] == [(100, 150), (0, 150)]
    assert found["dots"] and "tinted" in found["said"] and "the kernel's own count" in found["said"]
    assert max(found["above"]) <= 50 * 64


def test_without_a_count_of_the_kernel_no_line_is_below_zero() -> None:
    found = lines_of(one_cache([5, -20, -35, -30], [0, 0, 0, 0], room=float("nan")))
    assert found["line"] == [40, 15, 0, 5]
    assert found["bottom"] == 0


def test_a_partial_recording_has_neither_room_nor_dots() -> None:
    found = lines_of(one_cache([0, 300, 300, 0], [0, 200, 200, 0], room=150, active=100), "--pid 7")
    assert found["line"] == [0, 200, 200, 0]
    assert found["areas"] == [(0, 300)], "the band alone"
    assert not found["dots"]
    assert "only of those that were recorded (--pid 7; tinted" in found["said"]


def test_missed_frees_are_no_spike_of_frees() -> None:
    """Ten are freed unseen in each of three seconds, and all found at the end of the fourth."""
    usage = one_cache([30, 30, 30, 0], [0, 10, 20, 0], room=40)
    usage = usage.assign(objects_expected=[30.0, 20.0, 10.0, 0.0], allocs_per_s=0.0)
    usage = usage.assign(frees_per_s=[0.0, 0.0, 0.0, 30.0], allocs=[30, 0, 0, 0])
    notes = Notes(FakeTrace().marks().head(0), FakeTrace().losses().head(0))
    _, below = draw_rates(usage, notes, "").axes
    assert [float(y) for y in below.lines[0].get_ydata()] == [0, 10, 10, 10]
