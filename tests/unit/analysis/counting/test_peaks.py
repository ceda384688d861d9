# SPDX-License-Identifier: Apache-2.0
"""When a cache had the most live objects, and who had allocated them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import slabtrace
from slabtrace.analysis.counting.peaks import Peaks
from slabtrace.analysis.names.cache_names import name_caches
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import scan
from slabtrace.trace.format.arrays import no_rows
from slabtrace.trace.format.schema import CACHES
from tests.unit.analysis.pairing.test_pairing import streams
from tests.unit.reference import pair as reference
from tests.unit.synthetic import START, Event, alloc, free, intern, sites_of, write_trace

LENGTH = 400_000_000  # ns: longer than any stream
X, Y = {"call_site": 0x100}, {"call_site": 0x200}


def test_the_example_of_the_module(tmp_path: Path) -> None:
    events = [
        alloc(1, 0x10, **X),
        alloc(2, 0x20, **Y),
        alloc(3, 0x30, **Y),
        free(4, 0x20),
        free(5, 0x30),
        alloc(6, 0x40, **X),
    ]
    for batch_events in (1, 2, 100):
        path = write_trace(tmp_path / f"t{batch_events}", events, batch_events=batch_events)
        (row,) = slabtrace.open(path).peaks().to_dict("records")
        assert (row["ts_ns"], row["objects"], row["bytes"]) == (3, 3, 3 * 64)
        assert [(each["call_site"], each["objects"]) for each in row["held_by"]] == [(0x200, 2), (0x100, 1)]


@settings(max_examples=60)
@given(events=streams(), chunk=st.sampled_from([1, 3, 50]))
def test_the_chunks_of_events_do_not_change_the_peaks(events: list[Event], chunk: int) -> None:
    batch, columns = intern(events)
    sites = sites_of(columns)
    found = Peaks(name_caches(no_rows(CACHES), sites, []))
    batches = (batch.take(slice(at, at + chunk)) for at in range(0, batch.size, chunk))
    scan(batches, Pairer(sites, chunk_events=1), [found])
    live = [at for each in reference(events).at_peak.values() for at in each]
    assert Counter(dict(enumerate(found.at_peak.tolist()))) == Counter(batch.site[live].tolist())
    newest = [max(events[at].ts for at in each) for each in reference(events).at_peak.values()]
    assert sorted(found.when_ns[found.peak > 0] - START) == sorted(newest)


@settings(max_examples=60)
@given(events=streams(), chunk=st.sampled_from([1, 3, 50]))
def test_peaks_equal_those_of_the_caches(events: list[Event], chunk: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_trace(Path(folder) / "t", events, batch_events=chunk, seconds=LENGTH / 1e9)
        trace = slabtrace.open(path)
        peaks, caches = trace.peaks(), trace.caches()
    outcome = reference(events)
    exact = dict(zip(caches["cache"], caches["peak_outstanding"], strict=True))
    assert len(peaks) == len(outcome.at_peak)
    for row in peaks.to_dict("records"):
        live = [events[at] for at in outcome.at_peak[int(row["cache"].split("0x")[1][:-1], 16)]]
        assert row["objects"] == exact[row["cache"]] == len(live)
        assert row["bytes"] == sum(each.bytes_alloc for each in live)
        assert row["ts_ns"] == max(each.ts for each in live)
        held = Counter(each.call_site for each in live)
        assert {each["call_site"]: each["objects"] for each in row["held_by"]} == held
