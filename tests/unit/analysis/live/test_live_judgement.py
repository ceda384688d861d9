# SPDX-License-Identifier: Apache-2.0
"""What is judged while recording is what `findings` says of the same events afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import slabtrace
from slabtrace.analysis.live.trace import PAUSE_NS, LiveTrace
from slabtrace.trace.manifest import Manifest, RecorderUse, Unattached
from tests.unit.live_view import SECOND, TABLES, cache, watched
from tests.unit.synthetic import START, Event, alloc, free, write_trace

SECONDS = 64
HALVES = [t / 2 + 0.01 for t in range(2 * SECONDS)]
SAME = [
    "class", "cache", "call_site", "outstanding", "objects", "bytes_alloc", "comms", "pids", "own", "p",
    "rate_per_s", "rate_low", "rate_high", "old", "old_freed", "older_freed", "horizon_ns",
    "sibling_ns", "why",
]  # fmt: skip


def leak() -> list[Event]:
    """Two objects a second that nobody frees."""
    return [alloc(int(t * SECOND), 0x20_0000 + 64 * n, stack_id=5) for n, t in enumerate(HALVES)]


def ring() -> list[Event]:
    """Every half second the oldest of 200 older objects is freed, and a new one is allocated."""
    events = [
        alloc(int(t * SECOND), 0x50_0000 + 64 * n, call_site=0x110, cache=0xC3) for n, t in enumerate(HALVES)
    ]
    frees = [
        free(int(t * SECOND) + 9, 0x70_0000 + 64 * n, call_site=0x210, cache=0xC3)
        for n, t in enumerate(HALVES)
    ]
    return events + frees


def churn() -> list[Event]:
    """Objects that live 2 ms, 3 s, 12 s."""
    events = []
    for n in range(4 * SECONDS):
        at, lived = n * SECOND // 4 + 77, (2_000_000, 3 * SECOND, 12 * SECOND)[n % 3]
        events += [alloc(at, 0x90_0000 + 64 * n, stack_id=5, tid=9)]
        events += [free(at + lived, 0x90_0000 + 64 * n)] if at + lived < SECONDS * SECOND else []
    return events


def in_seconds(events: list[Event]) -> list[list[Event]]:
    ordered = sorted(events, key=lambda event: event.ts)
    return [[e for e in ordered if e.ts // SECOND == second] for second in range(SECONDS)]


def last(live: LiveTrace) -> pd.DataFrame:
    """The findings of a judgement of all SECONDS: it ends a second before its moment."""
    live.judge(START + (SECONDS + 1) * SECOND)
    assert live.judgement is not None and live.judgement.length_ns == SECONDS * SECOND
    return live.judgement.findings


@pytest.mark.parametrize(
    "events",
    [lambda: [*leak(), *churn()], ring, lambda: [*leak(), *ring(), *churn()]],
    ids=["leak", "ring", "all"],
)
def test_it_is_what_leaks_says_afterwards(tmp_path: Path, events: Callable[[], list[Event]]) -> None:
    tables = {"caches": [*TABLES["caches"], cache(0xC3, "ring")]}
    parts = in_seconds(events())
    live = watched(parts, tables=tables, every=16)
    place = write_trace(
        tmp_path / "t.slab", [e for part in parts for e in part], TABLES | tables, seconds=SECONDS
    )
    afterwards = slabtrace.open(place)
    pd.testing.assert_frame_equal(last(live)[SAME], afterwards.findings()[SAME])
    assert live.judgement is not None and live.judgement.verdict == afterwards.verdict()


def test_a_leak_is_a_suspect_with_its_process() -> None:
    live = watched(in_seconds([*leak(), *churn()]), every=16)
    row = live.table("call_site", {"cache": 0xC0}).to_dict("records")[0]
    assert (row["class"], row["finding"]) == ("suspect", 1)
    assert row["comms"][0] == "leaky" and row["pids"][0] == 70 and not row["own"]


def test_a_ring_is_replacing() -> None:
    table = watched(in_seconds(ring()), every=16).table("call_site", {"call_site": 0x110})
    assert table["class"].tolist() == ["replacing"]


def test_where_frees_cannot_be_traced_a_leak_is_growing_and_says_why() -> None:
    manifest = Manifest()
    manifest.coverage.unattached = [Unattached("kmem_cache_free_bulk", "refused")]
    live = watched(in_seconds(leak()), manifest, every=16)
    assert live.table("cache")["class"].tolist() == ["growing"]
    assert live.judgement is not None
    finding = live.judgement.findings.iloc[0]
    assert "freed on paths that cannot be traced" in finding["doubt"] and finding["doubt"] in finding["why"]
    assert (live.judgement.verdict.suspects, live.judgement.verdict.growing) == (0, 1)


def test_what_the_kernels_own_count_contradicts_is_growing() -> None:
    """The kernel counts as many active objects at the end as at the begin; none can be parked: no CPU."""
    count = {"ts_ns": 0, "name": "kmalloc-64", "active_objs": 500, "objsize": 64, "objperslab": 64}
    live = watched(in_seconds(leak()), tables={"slabinfo": [count, count | {"ts_ns": SECOND}]}, every=16)
    assert live.table("cache")["class"].tolist() == ["growing"]


def test_objects_of_the_recorder_are_its_own() -> None:
    live = watched(in_seconds(leak()), Manifest(recorder=RecorderUse(pid=70)), every=16)
    row = live.table("cache").to_dict("records")[0]
    assert row["own"] and row["class"] == "retained" and row["comms"] == ["slabtrace itself"]


def test_objects_of_the_recorder_among_others_are_named_but_not_judged_as_theirs() -> None:
    """Two stacks of one act: of other tasks most objects, of the recorder all of one stack."""
    hanging = [alloc(e.ts + 9, e.ptr + 0x10_0000, call_site=0x110, cache=0xD0) for e in leak()]
    mine = [replace(e, tid=9) for e in hanging[::4]]
    both = [*leak(), *(e for n, e in enumerate(hanging) if n % 4), *mine]
    live = watched(in_seconds(both), Manifest(recorder=RecorderUse(pid=90)), every=16)
    row = live.table("cache", {"cache": 0xD0}).to_dict("records")[0]
    assert row["comms"] == ["leaky", "slabtrace itself"] and not row["own"]


def test_it_is_judged_only_now_and_then() -> None:
    live = watched(in_seconds(leak())[:2])
    first = live.judgement
    assert first is not None
    live.snapshot(START + 2 * SECOND + 1)
    assert live.judgement is first
    live.snapshot(START + 10 * PAUSE_NS)
    assert live.judgement is not first
