# SPDX-License-Identifier: Apache-2.0
"""Commands with tables by cache sum the copies of a kmalloc cache; --copies and --json list them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slabtrace.commands import main
from tests.unit.analysis.opened.test_copies import COPIES, written

BY_CACHE = [
    ("caches",),
    ("stat", "--by", "cache"),
    ("stat", "--peaks"),
    ("lifetimes", "--by", "cache"),
    ("leaks", "--by", "cache"),
]
NOTE = "sums of the copies of a kmalloc cache: kmalloc-64 (of 3); --copies lists them"


@pytest.fixture
def trace(tmp_path: Path) -> str:
    written(tmp_path)
    return str(tmp_path / "t.slab")


def ran(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main.run(list(args)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", BY_CACHE, ids=" ".join)
def test_copies_are_summed_and_a_note_says_so(
    command: tuple[str, ...], trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = command
    summed = ran(capsys, name, trace, *options)
    assert NOTE in summed and "kmalloc-rnd" not in summed
    single = ran(capsys, name, trace, *options, "--copies")
    assert "--copies" not in single
    assert "kmalloc-rnd-01-64" in single or name == "leaks"  # of that copy nothing is outstanding


@pytest.mark.parametrize("command", BY_CACHE[:4], ids=" ".join)
def test_json_has_the_copies(
    command: tuple[str, ...], trace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = command
    document = json.loads(ran(capsys, name, trace, *options, "--json"))
    rows = document["caches" if name == "caches" else "rows"]
    assert set(COPIES) <= {row["cache"] for row in rows}


def test_a_copy_can_be_asked_for(trace: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "kmalloc-64 " in ran(capsys, "caches", trace, "--cache", "kmalloc-rnd-01-*")
    single = ran(capsys, "caches", trace, "--cache", "kmalloc-rnd-01-*", "--copies")
    assert "kmalloc-rnd-01-64" in single and "kmalloc-64 " not in single
    assert "kmalloc-64" in ran(capsys, "leaks", trace, "--by", "cache", "--cache", "kmalloc-rnd-*")


def test_the_report_says_which_caches_are_sums(trace: str, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    assert main.run(["report", trace, "-o", str(page)]) == 0
    assert f'title="{", ".join(COPIES)}">sum of 3</span>' in page.read_text()


def test_plots_draw_the_sum(trace: str, tmp_path: Path) -> None:
    for options, drawn in ([], False), (["--copies"], True):
        picture = tmp_path / "p.svg"
        assert main.run(["plot", trace, "-o", str(picture), "-f", "--kind", "rates", *options]) == 0
        assert ("kmalloc-rnd-01-64" in picture.read_text()) is drawn
