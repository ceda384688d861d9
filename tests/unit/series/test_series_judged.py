# SPDX-License-Identifier: Apache-2.0
"""The last part of a series is judged as one recording of the whole time would be."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slabtrace
from slabtrace.analysis.grouping.kept import Question
from slabtrace.api import Trace
from slabtrace.errors import TraceError
from slabtrace.series.carry import carry
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import Kind
from slabtrace.trace.manifest import Coverage
from tests.unit.series.cut import last_of, write_series
from tests.unit.synthetic import Event, alloc, free

S = 1_000_000_000
HOUR = 3600 * S
LEAK, RING, RING_FREE, CHURN = 0x100, 0x500, 0x600, 0x300
RING_SIZE, RING_STEP = 40, HOUR // 2  # its objects live 20 hours
COMPARED = (
    "class", "old", "old_freed", "older_freed", "horizon_ns", "p", "rate_per_s", "rate_low", "rate_high",
    "sibling_ns", "dispersion", "outstanding", "doubt", "call_site",
)  # fmt: skip
OF_OLDER = (
    "older_freed",
    "p",
    "rate_per_s",
    "rate_low",
    "rate_high",
    "growth_bytes_per_s",
    "growth_low",
    "growth_high",
    "dispersion",
)


def leak(hours: int, seed: int = 3) -> list[Event]:
    """One object an hour that nobody frees."""
    random = Random(seed)
    times = [hour * HOUR + random.randrange(HOUR) for hour in range(hours)]
    return [alloc(at, 1 << 20 | n << 8, call_site=LEAK, cache=0xC0) for n, at in enumerate(times)]


def ring(hours: int) -> list[Event]:
    """A new object every half hour replaces the oldest; those of the beginning are older than the series."""
    events = []
    for step in range(1, 2 * hours):
        at, slot = step * RING_STEP - 1000, 1 << 30 | step % RING_SIZE << 8
        events += [free(at, slot, call_site=RING_FREE), alloc(at + 10, slot, call_site=RING)]
    return events


def churn(hours: int, call_site: int = CHURN) -> list[Event]:
    """20 objects an hour, each freed after a few seconds or minutes."""
    events = []
    for number in range(20 * hours):
        at, lived = number * HOUR // 20 + 77, (1 + number % 7) * 20 * S
        events += [alloc(at, 1 << 40 | number << 8, call_site=call_site)]
        events += [free(at + lived, 1 << 40 | number << 8)]
    return [event for event in events if event.ts < hours * HOUR]


def in_order(*parts: list[Event]) -> list[Event]:
    return sorted((event for part in parts for event in part), key=lambda event: event.ts)


def findings(trace: Trace) -> dict[int, Any]:
    """The rows of the findings by call site."""
    return {row["call_site"]: row for row in trace.findings()[list(COMPARED)].to_dict("records")}


def assert_judged_alike(one: pd.DataFrame, other: pd.DataFrame) -> None:
    columns = [name for name in COMPARED if name in one]
    pd.testing.assert_frame_equal(one[columns], other[columns], rtol=1e-9)


@pytest.mark.parametrize("hours", [24, 120])
def test_one_object_an_hour_is_found_in_hourly_parts(tmp_path: Path, hours: int) -> None:
    events = in_order(leak(hours), ring(hours), churn(hours))
    last = last_of(tmp_path / "t", events, [n * HOUR for n in range(1, hours)], hours * HOUR)
    part = last.manifest.part
    assert part is not None and part.number == hours
    found = findings(last)
    assert found[LEAK]["class"] == "suspect" and found[LEAK]["outstanding"] == hours
    assert found[LEAK]["old_freed"] == found[LEAK]["older_freed"] == 0
    assert found[RING]["class"] == "replacing"
    assert found[LEAK]["rate_low"] * 3600 < 1 < found[LEAK]["rate_high"] * 3600
    assert last.damage == []


def test_a_short_last_part_names_the_leak_of_those_before(tmp_path: Path) -> None:
    """A recorder is ended 5 s after a part began: no object of the leak was allocated in it."""
    hours = 48
    events = in_order(leak(hours), ring(hours), churn(hours, LEAK))
    cuts = [n * HOUR for n in range(1, hours + 1)]
    last = last_of(
        tmp_path / "t", [*events, alloc(hours * HOUR + S, 8, call_site=CHURN)], cuts, cuts[-1] + 5 * S
    )
    assert last.length_ns == 5 * S
    found = findings(last)
    assert found[LEAK]["class"] == "suspect" and found[RING]["class"] == "replacing"
    assert found[LEAK]["sibling_ns"] < 300 * S  # of the churn of earlier parts


def test_a_part_in_the_middle_is_judged_over_the_time_until_it_ends(tmp_path: Path) -> None:
    hours = 30
    events = in_order(leak(hours), ring(hours), churn(hours))
    parts = write_series(tmp_path / "t", events, [n * HOUR for n in range(1, hours)], hours * HOUR)
    until = [event for event in events if event.ts < 24 * HOUR]
    whole = last_of(tmp_path / "w", until, [], 24 * HOUR)
    assert_judged_alike(slabtrace.open(parts[23]).findings(), whole.findings())
    assert len(whole.findings()) == 2


def test_a_window_of_a_part_is_judged_alone(tmp_path: Path) -> None:
    """What was allocated before the window is older than it, and what earlier parts counted is not of it."""
    hours = 40
    events = in_order(leak(hours), ring(hours), churn(hours))
    last = last_of(tmp_path / "t", events, [20 * HOUR], hours * HOUR)
    window = last.window(4 * HOUR, 19 * HOUR)
    assert window._recorded.judged_ns == window.span_ns == (24 * HOUR + S, 39 * HOUR + S)
    inside = [event for event in events if 24 * HOUR <= event.ts < 39 * HOUR]
    moved = [Event(**{**vars(event), "ts": event.ts - 24 * HOUR}) for event in inside]
    alone = last_of(tmp_path / "w", moved, [], 15 * HOUR)
    assert_judged_alike(window.findings(), alone.findings())
    assert findings(alone)[RING]["older_freed"] > 8


def test_a_time_asked_for_within_a_part_leaves_out_earlier_parts(tmp_path: Path) -> None:
    hours = 40
    events = in_order(leak(hours), ring(hours), churn(hours))
    last = last_of(tmp_path / "t", events, [20 * HOUR], hours * HOUR)
    whole = last_of(tmp_path / "w", events, [], hours * HOUR)
    asked = last.findings(between=(4 * HOUR, 20 * HOUR))
    assert_judged_alike(asked, whole.findings(between=(24 * HOUR, 40 * HOUR)))
    assert asked["old"].min() > 8


@pytest.mark.parametrize("by", ["process", "call_site"])
def test_groups_of_the_last_part_count_what_died_before(tmp_path: Path, by: str) -> None:
    """By process too, where the sites are divided.

    Earlier parts do not say of which process an object was that died.  So the frees of older objects,
    which are divided among groups as deaths are, are divided otherwise there.
    """
    hours = 40
    events = in_order(leak(hours), ring(hours), churn(hours))
    last = last_of(tmp_path / "t", events, [20 * HOUR, 39 * HOUR], hours * HOUR).leaks(by)
    whole = last_of(tmp_path / "w", events, [], hours * HOUR).leaks(by)
    if by == "process":
        assert (last["older_freed"] > 0).sum() == (whole["older_freed"] > 0).sum()
        last = last.assign(**{name: whole[name] for name in OF_OLDER})
    assert_judged_alike(last, whole)
    assert whole["old_freed"].max() > 8 and whole["older_freed"].max() >= 1


def test_a_part_that_could_not_be_carried_ends_the_time_that_is_judged(tmp_path: Path) -> None:
    hours = 40

    def fails(ended: Path, following: Path) -> None:
        if following.name == "t.0002.slab":
            raise TraceError("no process")
        carry(ended, following)

    events = in_order(leak(hours), ring(hours), churn(hours))
    parts = write_series(
        tmp_path / "t", events, [10 * HOUR, 20 * HOUR, 30 * HOUR], hours * HOUR, carrying=fails
    )
    second, last = slabtrace.open(parts[1]), slabtrace.open(parts[-1])
    assert any("earlier parts" in sentence for sentence in second.damage)
    assert second._recorded.judged_ns == second.span_ns
    assert last._recorded.judged_ns == (10 * HOUR + S, hours * HOUR + S)
    assert last.verdict().limits == [
        "An earlier part of the series could not be carried: this is of the last 1 d 6 h."
    ]
    assert last.window(0, 9 * HOUR).verdict().limits == slabtrace.open(parts[0]).verdict().limits == []
    moved = [Event(**{**vars(each), "ts": each.ts - 10 * HOUR}) for each in events if each.ts >= 10 * HOUR]
    assert_judged_alike(last.findings(), last_of(tmp_path / "w", moved, [], 30 * HOUR).findings())
    assert findings(last)[LEAK]["class"] == "suspect"


def test_nothing_is_suspect_in_a_series_of_an_old_version(tmp_path: Path) -> None:
    """Before 2.1 deaths and frees of older objects were not carried: a ring would look like a leak."""
    hours = 48
    events = in_order(leak(hours), ring(hours))
    part = write_series(tmp_path / "t", events, [46 * HOUR], hours * HOUR)[-1]
    for name in schema.CARRIED_SINCE:
        (part / schema.CARRIED_DIR / f"{name}.arrow").unlink()
    manifest = json.loads((part / schema.MANIFEST).read_bytes())
    (part / schema.MANIFEST).write_text(json.dumps(manifest | {"version": [2, 0]}))
    old = slabtrace.open(part)
    frame = old.findings()
    assert old.damage == [] and len(frame) == 2
    assert "suspect" not in set(frame["class"])
    assert "not recorded" in frame["doubt"].iloc[0]


def test_a_free_that_is_reported_again_in_the_next_part_is_one_free(tmp_path: Path) -> None:
    """kfree_rcu frees for the users; the allocator reports it a grace period later, in the next part."""
    rcu = {"kind": Kind.KFREE_RCU, "call_site": RING_FREE}
    events = [event for n in range(20) for event in (alloc(n, 64 * n), free(9 * S + n, 64 * n, **rcu))]
    events = in_order(events, [free(10 * S + n, 64 * n) for n in range(20)], [free(11 * S, 1 << 20)])
    coverage = Coverage(attached=["kmalloc", "kfree", "kfree_rcu"])
    for cuts in ([], [9 * S + S // 2], [9 * S + S // 4, 9 * S + S // 2]):
        events_ = [*events[:40], alloc(9 * S + S // 3, 1 << 30), *events[40:]]
        last = last_of(tmp_path / f"{len(cuts)}", events_, cuts, 20 * S, coverage=coverage)
        assert last.completeness().old_frees == 1
        last.leaks("process")
        kept = last._passes.kept(Question(by_whom="process"))
        assert kept.older.ts_ns.tolist() == [12 * S]


@st.composite
def loads(draw: st.DrawFn) -> list[Event]:
    """Objects at a few call sites of two caches; some are older than the series, some are never freed."""
    random = Random(draw(st.integers(0, 1 << 30)))
    end, events = 64 * S, list[Event]()
    for number in range(draw(st.integers(0, 150))):
        site, cache, ptr = random.randrange(4), 0xC0 + random.randrange(2), (number + 1) << 12
        at = random.randrange(-20 * S, end)
        gone = at + random.choice([S // 2, 3 * S, 12 * S, 40 * S, 200 * S])
        fields = {"cache": cache, "tid": random.choice([7, 9])}
        if at >= 0:
            events.append(alloc(at, ptr, call_site=0x100 + site, bytes_alloc=64 << site, **fields))
        if 0 <= gone < end:
            events.append(free(gone, ptr, call_site=0x200 + random.randrange(2), **fields))
    return sorted(events, key=lambda event: event.ts)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(loads(), st.lists(st.integers(1, 64 * S - 2), max_size=5, unique=True))
def test_cutting_a_recording_changes_no_finding(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], cuts: list[int]
) -> None:
    place = tmp_path_factory.mktemp("cut")
    events = [*events, alloc(64 * S - 1, 8, call_site=0x900)]  # the part after the last cut has an event
    last = last_of(place / "t", events, sorted(cuts), 64 * S)
    whole = last_of(place / "w", events, [], 64 * S)
    assert_judged_alike(last.findings(), whole.findings())
