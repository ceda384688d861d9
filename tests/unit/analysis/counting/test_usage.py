# SPDX-License-Identifier: Apache-2.0
"""Usage over time, compared with a simple sum over the reference's outcome, for any stream of events."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings

import slabtrace
from slabtrace.analysis.counting import timeline
from tests.unit.analysis.pairing.test_pairing import streams
from tests.unit.reference import pair as reference
from tests.unit.synthetic import Event, alloc, write_trace

LENGTH = 400_000_000  # ns: longer than any stream
BUCKETS = 40


def slowly(events: list[Event]) -> Counter[tuple[int, int, str]]:
    """(bucket, cache, what) -> count, by the reference."""
    out, counts = reference(events), Counter[tuple[int, int, str]]()

    def tell(at: int, cache: int, what: str, by: int) -> None:
        counts[events[at].ts * BUCKETS // LENGTH, cache, what] += by

    for at, event in enumerate(events):
        if not event.is_free:
            tell(at, event.cache, "came", 1)
    for first, second in out.duplicates:
        tell(second, events[first].cache, "came", -1)  # the second record counts
    for begin, end in out.freed | out.inferred | out.page_ended:
        tell(end, events[begin].cache, "went", 1)
    for at in out.old_frees:
        tell(at, events[at].cache, "went", 1)
    return Counter({key: count for key, count in counts.items() if count})


@settings(max_examples=60)
@given(events=streams())
def test_usage_is_allocations_minus_frees(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_trace(Path(folder) / "t", events, batch_events=7, seconds=LENGTH / 1e9)
        usage = slabtrace.open(path).usage(BUCKETS)
    expected = slowly(events)
    counts: Counter[tuple[int, int, str]] = Counter()
    seconds = LENGTH / BUCKETS / 1e9
    for row in usage.to_dict("records"):
        bucket, cache = row["ts_ns"] * BUCKETS // LENGTH - 1, int(row["cache"].split("0x")[1][:-1], 16)
        counts[bucket, cache, "came"] = round(row["allocs_per_s"] * seconds)
        counts[bucket, cache, "went"] = round(row["frees_per_s"] * seconds)
        so_far = Counter(
            {what: sum(n for (b, c, w), n in expected.items() if b <= bucket and c == cache and w == what)
             for what in ("came", "went")}
        )  # fmt: skip
        assert row["objects"] == so_far["came"] - so_far["went"]
    assert {key: count for key, count in counts.items() if count} == expected


def test_many_groups_have_fewer_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of cells bounds the memory, and the counts stay exact."""
    events = [alloc(at, 8 * at, call_site=0x100 + at % 7, cache=0xC0 + at % 3) for at in range(1, 998)]
    trace = write_trace(tmp_path / "t", events, seconds=1e-6)
    whole = slabtrace.open(trace).usage(40)
    monkeypatch.setattr(timeline, "CELLS", 21 * 11 + 5)  # 21 groups
    few = slabtrace.open(trace)
    assert (whole["ts_ns"].nunique(), few.usage(40)["ts_ns"].nunique()) == (40, 11)
    for table in (whole, few.usage(40)):
        assert table.groupby("cache")["allocs"].sum().tolist() == [332, 333, 332]
    assert few.peaks()["objects"].tolist() == [333, 332, 332]
    assert few.usage(5)["ts_ns"].nunique() == 5
