# SPDX-License-Identifier: Apache-2.0
"""Pages by call site, order and gfp flags: requests are blocks, what became of them is counted in pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import slabtrace
from slabtrace.analysis.names.gfp import gfp_name
from slabtrace.commands import main
from slabtrace.trace.manifest import Manifest
from tests.unit.analysis.names.test_pages import DRIVER, OTHER, block, freed
from tests.unit.synthetic import alloc, write_trace

KERNEL, RECLAIMABLE = 0xCC0, 0x10


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Three requests: two of order 3 at one call site, one of order 0 at another; a block and a page go."""
    events = [
        *block(1, 0x100000, 3, gfp_flags=KERNEL | 0x100),
        *block(2, 0x200000, 3, gfp_flags=KERNEL | 0x100),
        *block(3, 0x300000, 0, gfp_flags=KERNEL | RECLAIMABLE, call_site=OTHER),
        alloc(4, 0x400040),
        *freed(5, 0x100000, 3),
        *freed(6, 0x207000),
        *freed(7, 0x900000),
    ]
    manifest = Manifest(status="complete", options={"pages": True})
    manifest.totals.left_out = {"slab": 5, "movable": 0}
    return write_trace(tmp_path / "t.slab", events, manifest=manifest)


def test_requests_and_pages(trace: Path) -> None:
    rows = slabtrace.open(trace).stat(by="pages").to_dict("records")
    columns = ("call_site", "order", "migrate_type", "gfp", "hits", "pages", "frees", "outstanding")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        (DRIVER, 3, "Unmovable", "GFP_KERNEL|__GFP_ZERO", 2, 16, 9, 7),
        (OTHER, 0, "Reclaimable", "GFP_KERNEL|__GFP_RECLAIMABLE", 1, 1, 0, 1),
    ]
    assert rows[0]["bytes_alloc"] == 16 * 4096


def test_the_text_has_the_totals_of_perf_kmem(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["stat", str(trace), "--pages", "-s", "order"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Total allocation requests 3 [68 KB]" in text
    assert "Total alloc+freed [36 KB]" in text
    assert "Total alloc-only [32 KB]" in text
    assert "Total free-only [4 KB]" in text
    assert "left out slab 20.0 KiB" in text
    assert text.index("__GFP_RECLAIMABLE") > text.index("__GFP_ZERO")


def test_json_has_the_rows(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["stat", str(trace), "--pages", "--json"]) == 0
    assert [row["hits"] for row in json.loads(capsys.readouterr().out)["rows"]] == [2, 1]


def test_a_trace_without_pages_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = write_trace(tmp_path / "t.slab", [alloc(1, 0x40)])
    assert main.run(["stat", str(trace), "--pages"]) != 0
    assert "recorded without --pages" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (0, "0"),
        (0xCC0, "GFP_KERNEL"),
        (0xDC0 | 0x40000, "GFP_KERNEL|__GFP_ZERO|__GFP_COMP"),
        (0x100CCA, "GFP_HIGHUSER_MOVABLE"),
        (0x820, "GFP_ATOMIC"),
        (0xCC0 | 0x400000, "GFP_KERNEL|__GFP_ACCOUNT"),
        (0x8000000, "0x8000000"),
    ],
)
def test_names_of_gfp_flags(flags: int, name: str) -> None:
    assert gfp_name(flags) == name
