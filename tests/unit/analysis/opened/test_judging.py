# SPDX-License-Identifier: Apache-2.0
"""Questions to the judgement: answered once, with what the trace knows beside the events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.analysis.grouping.kept import Question
from slabtrace.analysis.leaks import judgement
from slabtrace.analysis.opened import judging
from slabtrace.analysis.opened.judging import Judging
from slabtrace.api import Trace
from tests.unit.analysis.leaks.test_leak_classes import CACHES, SECONDS, STEADY, S, judged, kept
from tests.unit.synthetic import START

OTHERS = [t + 0.1 for t in STEADY]


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """Two processes, each with a leak of two objects a second."""
    judged(tmp_path, kept(STEADY), kept(OTHERS, 0x90_0000, tid=9, call_site=0x120))
    return slabtrace.open(tmp_path / "t.slab")


def asked(trace: Trace) -> Judging:
    found: Judging = trace._judging
    return found


def test_a_question_is_judged_once(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    once = judgement.judged
    monkeypatch.setattr(judging, "judged", lambda *given: (calls.append(1), once(*given))[1])
    one, other = Question(), Question(pids=(70,))
    judged_ = asked(trace)
    judged_.findings(one)
    judged_.groups("stack", one)
    judged_.verdict(one)
    judged_.groups("cache", one)
    assert len(calls) == 1
    assert judged_.findings(other)["outstanding"].tolist() == [128]
    assert len(calls) == 2
    assert judged_.findings(one)["outstanding"].tolist() == [128, 128]
    assert len(calls) == 3  # the last answer alone is kept


def test_the_verdict_is_that_of_the_findings(trace: Trace) -> None:
    verdict = asked(trace).verdict(Question())
    findings = asked(trace).findings(Question())
    assert findings["class"].tolist() == ["suspect", "suspect"]
    assert verdict.suspects == 2 and verdict.growing == 0
    assert verdict.growth_bytes_per_s == pytest.approx(findings["growth_bytes_per_s"].sum())


def test_a_stretch_is_judged_by_objects_that_came_in_it(trace: Trace) -> None:
    question = Question(between=(START + 8 * S, START + 40 * S))
    findings = asked(trace).findings(question)
    assert findings["outstanding"].tolist() == [64, 64]
    assert findings["class"].tolist() == ["suspect", "suspect"]
    assert findings["rate_per_s"].to_list() == pytest.approx([2.0, 2.0], rel=0.4)


def slabinfo(change: int) -> list[dict[str, Any]]:
    """The kernel's own count of kmalloc-64, each second: it changes evenly."""
    return [
        {"ts_ns": START + second * S, "name": "kmalloc-64", "active_objs": 1000 + change * second // SECONDS}
        | {"num_objs": 64_000, "objsize": 64, "objperslab": 64, "pagesperslab": 1, "num_slabs": 1000}
        for second in range(SECONDS + 1)
    ]


@pytest.mark.parametrize(("change", "expected"), [(6000, "suspect"), (0, "growing")])
def test_the_count_of_the_kernel_is_heeded(tmp_path: Path, change: int, expected: str) -> None:
    """6,400 of 64 bytes stay, of which CPUs may keep some hundreds."""
    many = kept([t / 100 for t in range(100 * SECONDS)])
    judged(tmp_path, many, slabinfo=slabinfo(change), caches=CACHES)
    (finding,) = asked(slabtrace.open(tmp_path / "t.slab")).findings(Question()).to_dict("records")
    assert finding["class"] == expected
    assert ("own count" in finding["doubt"]) == (expected == "growing")


def test_frees_that_a_filter_left_out_are_heeded(tmp_path: Path) -> None:
    judged(tmp_path, kept(STEADY), options={"pid": [70]})
    (finding,) = asked(slabtrace.open(tmp_path / "t.slab")).findings(Question()).to_dict("records")
    assert finding["class"] == "growing"
    assert finding["doubt"].startswith("frees of older objects were not recorded")
