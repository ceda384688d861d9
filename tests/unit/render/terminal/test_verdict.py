# SPDX-License-Identifier: Apache-2.0
"""The verdict on a recording that a filter or a sample reduced names what it was reduced to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import slabtrace
from slabtrace.analysis.trust.completeness import Completeness
from slabtrace.render.terminal.info import fields
from slabtrace.render.terminal.verdict import short_verdict
from slabtrace.trace.manifest import Manifest, Totals
from tests.unit.synthetic import alloc, free, write_trace

EVENTS = [alloc(1, 0x10), free(2, 0x10), alloc(3, 0x20)]
REDUCED = [
    ({"cache": ["kmalloc-*", "t"]}, "--cache 'kmalloc-*', --cache t", ["--cache 'kmalloc-*'", "--cache t"]),
    ({"pid": 12, "comm": "two words"}, "--pid 12, --comm 'two words'", ["--pid 12", "--comm 'two words'"]),
    ({"cgroup": "/a b/*"}, "--cgroup '/a b/*'", ["--cgroup '/a b/*'"]),
    ({"min_size": 64, "max_size": 128}, "--min-size 64, --max-size 128", ["--min-size 64", "--max-size 128"]),
    ({"sample": 16}, "a sample of 1/16", []),
]  # fmt: skip


def recorded(folder: Path, options: dict[str, Any], totals: Totals | None = None) -> Completeness:
    manifest = Manifest(status="complete", options=options, totals=totals or Totals())
    return slabtrace.open(write_trace(folder / "t", EVENTS, manifest=manifest)).completeness()


@pytest.mark.parametrize(("options", "words", "filters"), REDUCED)
def test_a_reduced_recording_is_complete_only_for_what_it_was_reduced_to(
    tmp_path: Path, options: dict[str, Any], words: str, filters: list[str]
) -> None:
    found = recorded(tmp_path, options)
    assert (found.exact, found.filters) == (True, filters), "no event of what was asked for is missing"
    assert found.verdict.startswith(
        "Complete for what was asked for: every such allocation and free was seen"
    )
    assert f"Filtered: recorded with {' '.join(filters)}. Other" in found.verdict or not filters
    assert short_verdict(found, "t") == (
        f"Complete for {words}: other events were not recorded; see `slabtrace info t`"
    )


@pytest.mark.parametrize(("options", "words", "filters"), REDUCED)
def test_what_a_reduced_recording_lacks_is_said_first(
    tmp_path: Path, options: dict[str, Any], words: str, filters: list[str]
) -> None:
    found = recorded(tmp_path, options, Totals(dropped=3))
    assert found.verdict.startswith("Not complete: 3 events were dropped.")
    assert f"recorded with {' '.join(filters)}." in found.verdict or not filters
    expected = f"Not complete: 3 events lost, recorded only {words}; see `slabtrace info t`"
    assert short_verdict(found, "t") == expected


def test_info_names_the_filters_and_the_sample(tmp_path: Path) -> None:
    manifest = Manifest(status="complete", options={"cache": ["filp"], "sample": 8})
    trace = slabtrace.open(write_trace(tmp_path / "t", EVENTS, manifest=manifest))
    shown = dict(fields("t", trace.manifest, trace.completeness(), trace.length_ns, trace.marks()))
    assert shown["filtered"] == "--cache filp; other events are not in the trace"
    assert shown["sampled"] == "one in 8 addresses, with all its events"


def test_a_whole_recording_is_complete_without_a_condition(tmp_path: Path) -> None:
    found = recorded(tmp_path, {"cache": [], "pid": None, "stacks": "all"})
    assert found.verdict == "Complete: every allocation and free was seen, and none was lost."
    assert short_verdict(found, "t") == "Complete: every allocation and free was recorded."
    manifest = Manifest(status="complete")
    names = {name for name, _ in fields("t", manifest, found, 1, slabtrace.open(tmp_path / "t").marks())}
    assert not names & {"filtered", "sampled"}
