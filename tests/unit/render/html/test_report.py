# SPDX-License-Identifier: Apache-2.0
"""The page of the report: small for any trace, and it says what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from slabtrace.analysis.trust.completeness import Completeness
from slabtrace.commands import main
from slabtrace.render.html.report import CACHES, CARDS, MISMATCHES, OTHERS, Tables, report
from slabtrace.render.html.spark import spark
from slabtrace.trace.manifest import Manifest
from tests.unit.fake_rows import CACHES as CACHE_ROWS
from tests.unit.fake_rows import GROUPS as GROUP_ROWS
from tests.unit.fake_rows import HOSTILE_HTML, MISMATCH, finding
from tests.unit.fake_trace import FakeTrace
from tests.unit.synthetic import alloc, free, write_trace

FIVE_MB = 5_000_000
LONG = "a_function_with_a_name_as_long_as_rust_and_templates_make_them" * 3


def huge(groups: int, caches: int, stacks: int) -> Tables:
    """Tables of a trace with as many groups, caches and stacks, of 60 frames with long names each."""
    frames = [[f"{LONG}{i % 997}_{depth}+0x{depth:x}" for depth in range(60)] for i in range(stacks)]
    sums = {
        f"{what}_{unit}": 1000
        for what in ("allocated", "freed", "outstanding")
        for unit in ("bytes", "objects")
    }
    totals = pd.DataFrame({"cache": [f"cache-{i % 50}" for i in range(stacks)], "stack": frames}).assign(
        **sums
    )
    first = {**GROUP_ROWS[0], "stack": frames[0]}
    ranked = [{**first, "rank": i + 1, "finding": i + 1} for i in range(groups)]
    found = [{**finding(row), "class": "young" if i % 2 else "growing"} for i, row in enumerate(ranked)]
    cache_rows = [{**CACHE_ROWS[0], "cache": f"cache-{i}"} for i in range(caches)]
    usage = pd.concat([FakeTrace().usage().head(20).assign(cache=f"cache-{i}") for i in range(caches)])
    known = {"slabinfo_start": "Int64", "slabinfo_end": "Int64", "unexplained": "Int64"}
    return Tables(
        manifest=Manifest(),
        length_ns=10**9,
        damage=[],
        marks=FakeTrace().marks(),
        completeness=Completeness(verdict="Complete."),
        findings=pd.DataFrame(found),
        verdict=FakeTrace().verdict(),
        leaks=pd.DataFrame(ranked),
        arrivals=pd.DataFrame([{**first, "objects": [0, 3, 41]}]),
        mismatches=pd.DataFrame([MISMATCH] * groups),
        unsupported=(0, ""),
        caches=pd.DataFrame(cache_rows).astype(known),
        copies={"cache-0": ["cache-0-a", "cache-0-b"]},
        usage=usage,
        stack_totals=totals,
        account=FakeTrace().account(),
        memory=FakeTrace().account_sentences(),
    )


def test_a_huge_trace_makes_a_page_below_five_megabytes() -> None:
    page = report("huge.slab", "1.0", huge(3000, 600, 5000), [])
    # the plots are of a fixed size besides: 600 buckets, at most 8 series
    assert len(page) < FIVE_MB - 1_000_000
    text = page.decode()
    assert f"… and {1500 - CARDS:,} findings more that grow" in text
    assert f"… and {1500 - OTHERS:,} findings more:" in text
    assert f"… and {3000 - MISMATCHES:,} mismatches more" in text
    assert f"… and {600 - CACHES:,} caches more" in text
    assert text.count('<article class="card">') == CARDS + MISMATCHES
    assert "too narrow to draw" in text


def test_wrong_frees_are_said_at_the_top() -> None:
    tables = huge(1, 1, 1)
    quiet = replace(tables.verdict, suspects=0, growing=0)
    few = replace(tables, verdict=quiet, mismatches=tables.mismatches.head(1))
    assert 'class="verdict found"' in report("t", "1", few, []).decode()
    assert "1 wrong free: see" in report("t", "1", few, []).decode()
    none = replace(few, mismatches=tables.mismatches.head(0))
    assert 'class="verdict none-found"' in report("t", "1", none, []).decode()
    assert "wrong free: see" not in report("t", "1", none, []).decode()


def test_names_of_merged_caches_and_copies_are_escaped() -> None:
    tables = huge(2, 1, 1)
    names = pd.Series([[HOSTILE_HTML]] * 2, dtype=object)
    tables.findings = tables.findings.assign(parts=names, aliases=names, object="", next=HOSTILE_HTML)
    tables.copies = {"cache-0": [HOSTILE_HTML]}
    text = report("t.slab", "1.0", tables, []).decode()
    assert HOSTILE_HTML not in text and "<img" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5  # part, name, twice next, copies


def test_a_trace_becomes_a_page_that_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [*(alloc(i * 10, 0x1000 + 64 * i) for i in range(23)), free(10**6, 0x1000)]
    trace, page = write_trace(tmp_path / "t.slab", events), tmp_path / "t.html"
    assert main.run(["report", str(trace), "-o", str(page)]) == 0
    text = page.read_text()
    assert len(text) < FIVE_MB and text.rstrip().endswith("</html>")
    assert '<td class="n" data-v="22">22</td>' in text and text.count('<figure class="plot">') == 6
    assert main.run(["report", str(trace), "-o", str(page)]) == 2
    assert f"{page} exists" in capsys.readouterr().err
    assert main.run(["report", str(trace), "-o", str(page), "--force"]) == 0
    assert page.read_text() == text, "the same trace gives the same page"


def test_an_empty_trace_has_a_page_too(tmp_path: Path) -> None:
    page = tmp_path / "t.html"
    assert main.run(["report", str(write_trace(tmp_path / "t.slab", [])), "-o", str(page)]) == 0
    assert "Nothing: every allocation that was seen was also freed." in page.read_text()


def test_a_missing_trace_is_no_page(tmp_path: Path) -> None:
    assert main.run(["report", str(tmp_path / "no.slab"), "-o", str(tmp_path / "t.html")]) == 3
    assert list(tmp_path.iterdir()) == []


def test_sparklines_keep_their_ends_and_their_shape() -> None:
    flat = str(spark([5, 5, 5, 5], "level"))
    assert 'd="M0,20 100,20"' in flat
    risen = str(spark([0, 0, 10], "risen", from_zero=True))
    assert 'd="M0,20 50,20 100,0"' in risen
    assert str(spark([], "none")) == ""
    assert "&lt;b&gt;" in str(spark([1, 2], "<b>"))
