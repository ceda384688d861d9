# SPDX-License-Identifier: Apache-2.0
"""The tables of findings and of their groups, of hand-made traces of 64 s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slabtrace
from slabtrace.columns import FINDINGS, LEAKS
from tests.unit.analysis.leaks.test_leak_classes import CACHES, SECONDS, STEADY, S, cache, churn, judged, kept
from tests.unit.synthetic import free

SOCKET, BLOB, BURST, FEW = 0x160, 0x120, 0x150, 0x140


@pytest.fixture
def trace(tmp_path: Path) -> Any:
    """A leak of two sockets a second with a blob each, a burst of 200, five others, some churn."""
    sockets = kept(STEADY, 0x90_0000, call_site=SOCKET, bytes_alloc=2368)
    blobs = kept([t + 30e-6 for t in STEADY], 0x20_0000, call_site=BLOB, cache=0xC3)
    burst = kept([5.0003 + t / 1000 for t in range(200)], 0x30_0000, call_site=BURST, tid=9)
    few = kept([7.1 + 9 * t for t in range(5)], 0x40_0000, call_site=FEW, tid=9)
    caches = [*CACHES, cache("kmalloc-16", 0xC3, False)]
    judged(tmp_path, sockets, blobs, burst, few, churn(), caches=caches)
    return slabtrace.open(tmp_path / "t.slab")


def test_findings_and_the_groups_that_they_consist_of(trace: Any) -> None:
    findings, leaks = trace.findings(), trace.leaks()
    assert list(findings.columns) == list(FINDINGS.names) and list(leaks.columns) == list(LEAKS.names)
    assert findings["rank"].tolist() == [1, 2, 3] and leaks["rank"].tolist() == [1, 2, 3, 4]
    assert findings["class"].tolist() == ["suspect", "retained", "young"]
    assert findings["groups"].tolist() == [[1, 2], [3], [4]]
    assert leaks["call_site"].tolist() == [SOCKET, BLOB, BURST, FEW]
    assert leaks["finding"].tolist() == [1, 1, 2, 3]
    assert leaks["class"].tolist() == ["suspect", "suspect", "retained", "young"]


def test_a_finding_is_as_large_as_its_parts_together(trace: Any) -> None:
    first = trace.findings().to_dict("records")[0]
    assert (first["outstanding"], first["objects"]) == (128, 256)
    assert first["bytes_alloc"] == 128 * (2368 + 64)
    assert first["bytes_each"] == 2432
    assert first["caches"] == ["kmalloc-64", "kmalloc-16"]
    assert first["growth_bytes_per_s"] == pytest.approx(2432 * first["rate_per_s"])
    assert trace.findings()["bytes_alloc"].sum() == trace.leaks()["bytes_alloc"].sum()


def test_how_much_longer_to_record(trace: Any) -> None:
    suspect, retained, young = trace.findings().to_dict("records")
    assert suspect["longer_ns"] != suspect["longer_ns"] and retained["longer_ns"] != retained["longer_ns"]
    assert young["longer_ns"] > SECONDS * S
    assert young["next"].startswith("record ")


def test_what_grows_without_being_sure_is_to_be_recorded_four_times_as_long(tmp_path: Path) -> None:
    """Ten a second since the begin, that live 20 s on average: more and more, but they do die."""
    lives = np.random.default_rng(1).exponential(20, SECONDS * 10)
    ends = [(n / 10 + life, 0x10_0000 + 64 * n) for n, life in enumerate(lives.tolist())]
    frees = [free(int(end * S), ptr) for end, ptr in ends if end < SECONDS]
    judged(tmp_path, kept([n / 10 for n in range(SECONDS * 10)], 0x10_0000), frees)
    (finding,) = slabtrace.open(tmp_path / "t.slab").findings().to_dict("records")
    assert (finding["class"], finding["longer_ns"]) == ("growing", 3 * SECONDS * S)


@pytest.mark.parametrize("by", ["cache", "call_site", "module", "process"])
def test_groups_of_any_kind_have_the_class_of_the_gravest_finding(trace: Any, by: str) -> None:
    leaks = trace.leaks(by=by)
    assert leaks["outstanding"].sum() == 128 + 128 + 200 + 5
    assert leaks.loc[0, "class"] == "suspect" and leaks.loc[0, "finding"] == 1
    expected = {"cache": 2, "call_site": 4, "module": 2, "process": 3}[by]
    assert len(leaks) == expected


def test_slabtrace_itself_comes_last(tmp_path: Path) -> None:
    mine = kept(STEADY, 0x90_0000, bytes_alloc=4096)
    other = kept([9.0 + t / 10 for t in range(9)], tid=9, call_site=FEW)
    judged(tmp_path, mine, other, pid=70)
    findings = slabtrace.open(tmp_path / "t.slab").findings()
    assert findings[["own", "class"]].to_numpy().tolist() == [[False, "retained"], [True, "retained"]]


def test_of_a_sample_rates_are_those_of_all_objects(tmp_path: Path) -> None:
    judged(tmp_path, kept(STEADY), options={"sample": 16})
    (finding,) = slabtrace.open(tmp_path / "t.slab").findings().to_dict("records")
    assert finding["outstanding"] == 128
    assert finding["rate_per_s"] == pytest.approx(16 * 2, rel=0.02)
