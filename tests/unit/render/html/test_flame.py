# SPDX-License-Identifier: Apache-2.0
"""Flame graphs: frames as wide as what they hold, and names that are text whatever they hold."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

import slabtrace
from slabtrace.commands import main
from slabtrace.render.html import flame
from slabtrace.render.terminal.stack_tree import without_offset
from tests.unit.fake_rows import HOSTILE_HTML
from tests.unit.fake_trace import FakeTrace

SVG = "{http://www.w3.org/2000/svg}"


def totals(rows: list[tuple[list[str], str, int, int]]) -> pd.DataFrame:
    """Of (stack innermost first, cache, bytes, objects): all outstanding."""
    frame = pd.DataFrame(rows, columns=["stack", "cache", "outstanding_bytes", "outstanding_objects"])
    return frame.assign(freed_bytes=0, freed_objects=0, allocated_bytes=0, allocated_objects=0)


ROWS = [
    (["a+0x1", "main+0x9"], "kmalloc-64", 600, 6),
    (["a+0x2", "main+0x10"], "kmalloc-64", 200, 2),
    (["b+0x1 [mod]", "main+0x9"], HOSTILE_HTML, 200, 20),
]


def drawn(graph: flame.Graph) -> dict[str, tuple[str, float, float]]:
    """Frames by name: (class, x in %, width in %)."""
    found = {}
    for element in ElementTree.fromstring(graph.svg).iter():
        if element.get("class", "").startswith("f "):
            title = next(e.text or "" for e in element if e.tag.endswith("title"))
            place = (float(element.get(key, "").rstrip("%")) for key in ("x", "width"))
            found[title.partition("\n")[0]] = (element.get("class", ""), *place)
    return found


def test_frames_are_as_wide_as_what_they_hold() -> None:
    graph = flame.flame_graph(totals(ROWS), "outstanding")
    frames = drawn(graph)
    assert (graph.total, graph.objects, graph.hidden) == (1000, 28, 0)
    assert frames["all"][1:] == frames["main"][1:] == (0, 100)
    assert frames["a"][1:] == frames["[kmalloc-64]"][1:] == (0, 80)
    assert frames["b [mod]"] == ("f km", 80, 20)
    assert frames[f"[{HOSTILE_HTML}]"] == ("f kc", 80, 20)


def test_objects_make_other_widths() -> None:
    frames = drawn(flame.flame_graph(totals(ROWS), "outstanding", "objects"))
    assert frames["b [mod]"][1:] == (0, pytest.approx(100 * 20 / 28, abs=0.01))


def test_the_narrowest_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flame, "FRAMES", 3)
    graph = flame.flame_graph(totals(ROWS), "outstanding")
    assert set(drawn(graph)) == {"all", "main", "a"}
    assert graph.hidden == 3


def test_nothing_is_no_graph() -> None:
    graph = flame.flame_graph(totals(ROWS), "churn")
    assert graph.total == 0


def test_a_symbol_loses_its_offset_only() -> None:
    assert without_offset("load_msg+0x71 [ipc]") == "load_msg [ipc]"
    assert without_offset("operator+0x+0x12") == "operator+0x"
    assert without_offset("0xffffffff81000000") == "0xffffffff81000000"


@pytest.mark.parametrize("suffix", ["html", "svg"])
def test_the_command_writes_both(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTrace()
    monkeypatch.setattr(fake, "stack_totals", lambda: totals(ROWS), raising=False)
    monkeypatch.setattr(slabtrace, "open", lambda path: fake)
    path = tmp_path / f"kept.{suffix}"
    assert main.run(["flame", "t.slab", "-o", str(path)]) == 0
    text = path.read_text()
    assert "<img" not in text and "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    if suffix == "svg":
        tags = {element.tag for element in ElementTree.fromstring(text).iter()}
        assert tags == {SVG + tag for tag in ("svg", "style", "title", "rect", "text")}


def test_an_unknown_format_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["flame", "t.slab", "-o", str(tmp_path / "kept.pdf")]) == 2
    assert "does not say which format" in capsys.readouterr().err
