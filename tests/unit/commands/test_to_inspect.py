# SPDX-License-Identifier: Apache-2.0
"""Which objects are inspected: some of each finding; of long traces a sample of addresses, or their end."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import slabtrace
from slabtrace.commands.recording import to_inspect
from slabtrace.commands.recording.to_inspect import bounded, chooser, chosen, shares
from slabtrace.trace.format.sample import in_sample
from slabtrace.trace.manifest import Manifest, Totals
from tests.unit.analysis.leaks.test_leak_classes import CACHES, SECONDS, SYMBOLS, S, churn, kept
from tests.unit.synthetic import Event, write_trace

LEAK, BURST = 0x20_0000, 0x80_0000


@pytest.mark.parametrize(
    ("numbers", "most", "taken"),
    [
        ([2, 500, 500], 300, [2, 198, 100]),
        ([211], 1000, [211]),
        ([50] * 20, 1000, [50] * 20),
        ([1000] * 3, 1000, [334, 333, 333]),
        ([], 10, []),
    ],
)
def test_what_one_finding_lacks_goes_to_the_first_of_the_others(
    numbers: list[int], most: int, taken: list[int]
) -> None:
    assert shares(numbers, most) == taken


def a_trace(folder: Path) -> tuple[str, list[Event]]:
    """A leak of ten a second, a burst at the begin, and objects that come and go."""
    leak = kept([t / 10 + 0.05 for t in range(10 * SECONDS)], LEAK)
    burst = kept([1 + t / 1000 for t in range(211)], BURST, call_site=0x120)
    events = sorted([*leak, *burst, *churn(100)], key=lambda event: event.ts)
    manifest = Manifest(status="complete", totals=Totals(events=len(events)))
    tables = {"symbols": SYMBOLS, "caches": CACHES}
    path = write_trace(folder / "t.slab", events, tables, manifest=manifest, seconds=SECONDS)
    return str(path), events


def test_all_objects_of_a_short_trace_are_chosen_by_finding(tmp_path: Path) -> None:
    path, _ = a_trace(tmp_path)
    found = chosen(path)
    assert len(found) == 640 + 211 and set(found[:640]) == {LEAK + 64 * i for i in range(640)}
    assert len(chosen(path, 100)) == 100


def test_of_a_longer_trace_the_objects_of_some_addresses_are_chosen(tmp_path: Path) -> None:
    path, events = a_trace(tmp_path)
    trace = bounded(path, most=len(events) // 3)
    assert trace.manifest.sampled_one_in == 4
    findings = trace.findings()
    (leak,) = findings[findings["class"] == "suspect"].to_dict("records")
    every = np.array([LEAK + 64 * i for i in range(640)], np.uint64)
    assert leak["outstanding"] == int(in_sample(every, 4).sum())
    assert leak["rate_per_s"] == pytest.approx(10, rel=0.3)


def test_of_a_very_long_trace_the_last_part_is_read(tmp_path: Path) -> None:
    path, events = a_trace(tmp_path)
    trace = bounded(path, most=len(events), most_read=len(events) // 2)
    assert trace.length_ns == pytest.approx(SECONDS * S / 2, rel=0.01)
    findings = trace.findings()
    assert findings["class"].tolist() == ["suspect"]  # the burst was before


def test_a_trace_that_was_sampled_is_sampled_further(tmp_path: Path) -> None:
    path, events = a_trace(tmp_path)
    text = Path(path, "manifest.json").read_text()
    Path(path, "manifest.json").write_text(text.replace('"options": {}', '"options": {"sample": 2}'))
    assert slabtrace.open(path).manifest.sampled_one_in == 2
    assert bounded(path, most=len(events) // 3).manifest.sampled_one_in == 8


@pytest.mark.parametrize(
    ("patience_s", "hurries", "ended"), [(60.0, False, False), (60.0, True, True), (0.0, False, True)]
)
def test_nobody_waits_longer_than_they_want(patience_s: float, hurries: bool, ended: bool) -> None:
    argv = [sys.executable, "-c", f"import time; time.sleep({1000 if ended else 0}); print([1])"]
    if ended:
        with pytest.raises(ValueError, match="the findings took longer"):
            to_inspect._said(argv, patience_s, lambda: hurries)
    else:
        assert to_inspect._said(argv, patience_s, lambda: hurries) == "[1]\n"


def test_a_reason_is_given_where_nothing_can_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^the findings could not be read: .*missing\.slab"):
        chooser(lambda: tmp_path / "missing.slab", 2.0)()


def test_what_lies_in_the_current_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root records in a folder that anybody may write to."""
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"missing\.slab"):
        chooser(lambda: tmp_path / "missing.slab", 2.0)()
