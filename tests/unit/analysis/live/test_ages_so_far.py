# SPDX-License-Identifier: Apache-2.0
"""Ages while recording: at any moment the same as Ages made with the end of the recording known."""

from __future__ import annotations

import numpy as np
import pytest

from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.live.ages_so_far import AgesSoFar
from slabtrace.analysis.pairing.pairer import Pairer
from tests.unit.synthetic import START, Event, alloc, free, intern, sites_of

SECOND = 10**9


def lives(count: int, longest_s: float) -> list[Event]:
    """Objects of two sites that live from 1 ms to so long, freed at three sites."""
    random = np.random.default_rng(17)
    lived = np.exp(random.uniform(np.log(1e-3), np.log(longest_s), count))
    events = []
    for number, (begin, length) in enumerate(zip(random.uniform(0, 60, count), lived, strict=True)):
        ptr, at = 0x1000 + 64 * number, int(begin * SECOND)
        events.append(alloc(at, ptr, call_site=0x100 + number % 2))
        events.append(free(at + int(length * SECOND), ptr, call_site=0x200 + number % 3))
    return sorted(events, key=lambda event: event.ts)


@pytest.mark.parametrize("seconds", [1, 3, 64, 300])
def test_it_equals_ages(seconds: int) -> None:
    events = [event for event in lives(2000, 100) if event.ts < seconds * SECOND]
    batch, columns = intern(events)
    sites = sites_of(columns)
    begin_ns, end_ns = START, START + seconds * SECOND
    expected, so_far = Ages(len(sites), begin_ns, end_ns), AgesSoFar()
    so_far.grow(1)
    so_far.grow(len(sites))
    pairer = Pairer(sites, chunk_events=100)
    for first in range(0, batch.size, 100):
        for paired in (pairer.feed(batch.take(slice(first, first + 100))), pairer.flush()):
            if paired is not None:
                expected.add(paired)
                so_far.add(paired)
    found = so_far.until(len(sites), begin_ns, end_ns)
    assert found.horizons_ns.tolist() == expected.horizons_ns.tolist()
    assert (found.lived == expected.lived).all() and (found.died == expected.died).all()
    assert found.beyond_ns == pytest.approx(expected.beyond_ns)
    assert {*zip(*found.pairs(), strict=True)} == {*zip(*expected.pairs(), strict=True)}
    assert (found.died.sum() > 0) == (seconds >= 3)


def test_older_frees_since_a_time_are_sorted_and_earlier_ones_forgotten() -> None:
    older = OlderFrees(0)
    older.take(np.array([2, 1, 2]), np.array([30, 20, 10]))
    assert (older.since(15).site.tolist(), older.since(15).ts_ns.tolist()) == ([1, 2], [20, 30])
    older.take(np.array([1, 1]), np.array([5, 40]))
    later = older.since(0)
    assert (later.site.tolist(), later.ts_ns.tolist()) == ([1, 1, 2], [20, 40, 30])
