# SPDX-License-Identifier: Apache-2.0
"""How long objects lived, counted in batches and by hand; frees of objects from before the recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.counting.ages import OCTAVES, Ages, count_octaves, horizons
from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import Accumulator, scan
from slabtrace.trace.format.schema import Flag
from tests.unit.synthetic import START, Event, alloc, free, intern, sites_of

S = 1_000_000_000
SECONDS = 64
SITES, FREES = (0x100, 0x110, 0x120), (0x200, 0x210)


def fed(events: Iterable[Event], *accumulators: Accumulator, batch: int = 50) -> list[tuple[int, int]]:
    """Feeds accumulators with batches of events; returns (call site, size asked for) of each site."""
    whole, sites = intern(sorted(events, key=lambda event: event.ts))
    parts = [whole.take(slice(at, at + batch)) for at in range(0, whole.size, batch)]
    scan(parts, Pairer(sites_of(sites), 1), accumulators)
    return list(zip(sites["call_site"].tolist(), sites["bytes_req"].tolist(), strict=True))


def ages(least_ns: int = 0, seconds: int = SECONDS) -> Ages:
    return Ages(16, START, START + seconds * S, least_ns=least_ns)


def lives(spans: Sequence[tuple[int, int, int, int]]) -> list[Event]:
    """(allocated at, freed at: ms, place of the allocation, of the free) -> events, an address for each."""
    events = []
    for number, (begin, end, site, freed) in enumerate(spans):
        events.append(alloc(begin * 1_000_000, 64 * number, call_site=SITES[site]))
        events.append(free(end * 1_000_000 + 1, 64 * number, call_site=FREES[freed]))
    return events


SPANS = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(0, 60_000), st.integers(0, 2), st.integers(0, 1)).map(
        lambda span: (min(span[:2]), max(span[:2]) + 1, *span[2:])
    ),
    max_size=40,
)


def test_the_example() -> None:
    counted = ages()
    fed(lives([(1000, 11_000, 0, 0)]), counted)
    assert [round(each / S, 1) for each in counted.horizons_ns.tolist()] == [4.3, 8.6, 17.2]
    assert np.flatnonzero(counted.lived.sum(axis=0)).tolist() == [33]
    assert counted.died.sum(axis=0).tolist() == [1, 1, 0]
    assert [round(each / S, 1) for each in counted.beyond_ns.sum(axis=0)] == [5.7, 1.4, 0.0]


@given(SPANS, st.integers(1, 90))
def test_counted_in_batches_and_one_by_one(spans: list[tuple[int, int, int, int]], batch: int) -> None:
    counted = ages()
    sites = fed(lives(spans), counted, batch=batch)
    lived: Counter[tuple[int, int]] = Counter()
    died: Counter[tuple[int, int]] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    beyond = 0
    for begin, end, site, freed in spans:
        age = (end - begin) * 1_000_000 + 1
        lived[SITES[site], age.bit_length() - 1] += 1
        pairs[SITES[site], FREES[freed]] += age >= 1 << 32
        for at, horizon in enumerate((1 << 32, 1 << 33, 1 << 34)):
            died[SITES[site], at] += age >= horizon
            beyond += max(age - horizon, 0)
    names = [call_site for call_site, _ in sites]
    assert {(names[s], k): n for (s, k), n in np.ndenumerate(counted.lived) if n} == +lived
    assert {(names[s], k): n for (s, k), n in np.ndenumerate(counted.died) if n} == +died
    assert counted.beyond_ns.sum() == pytest.approx(beyond)
    found = zip(*(each.tolist() for each in counted.pairs()), strict=True)
    assert {(names[a], names[f]): n for a, f, n in found} == +pairs


def test_frees_that_were_missed_count_by_octave_alone() -> None:
    """The address is allocated again after 20 s: when the free between was is not known."""
    counted = ages()
    fed([alloc(S, 64), alloc(21 * S, 64)], counted)
    assert counted.lived.sum() == 1
    assert counted.died.sum() == 0 and not len(counted.pairs()[0])


def test_the_second_record_of_an_allocation_is_no_lifetime() -> None:
    counted = ages()
    fed([alloc(S, 64), alloc(S + 600, 64, flags=Flag.RECOVERED), free(11 * S, 64)], counted)
    assert counted.lived.sum() == 1 and counted.died[:, 0].sum() == 1


@pytest.mark.parametrize(
    ("seconds", "least_s", "shortest_s", "expected"),
    [
        (64, 0, 0, [4.295, 8.590, 17.180]),
        (10, 0, 0, [1.074, 2.147, 4.295]),  # never below 1.07 s
        (2, 0, 0, []),
        (0, 0, 0, []),
        (64, 0, 10, [17.180]),  # younger objects were only counted
        (64, 20, 0, [20, 24.295, 28.590, 37.180]),  # only objects older than 20 s are asked for
    ],
)
def test_horizons(seconds: int, least_s: int, shortest_s: int, expected: list[float]) -> None:
    found = horizons(seconds * S, least_s * S, shortest_s * S)
    assert [round(each / S, 3) for each in found.tolist()] == expected


@given(st.integers(1, 1 << 52), st.integers(0, 1 << 50))
def test_horizons_are_ascending_and_within_the_recording(length_ns: int, least_ns: int) -> None:
    found = horizons(length_ns, least_ns).tolist()
    assert found == sorted(set(found))
    assert all(each < length_ns for each in found)
    if least_ns == 0:
        assert all(length_ns / 16 <= each <= length_ns / 2 for each in found)


def test_a_lifetime_of_more_than_the_last_octave_counts_there() -> None:
    counts = np.zeros((1, OCTAVES), np.int64)
    count_octaves(counts, np.array([0, 0]), np.array([1 << 50, 0]), np.empty(0, np.intp))
    assert np.flatnonzero(counts[0]).tolist() == [0, OCTAVES - 1]


def older(since_s: int, begin_s: int | None = None) -> OlderFrees:
    return OlderFrees(START + since_s * S, None if begin_s is None else START + begin_s * S)


def by_place(frees: OlderFrees, sites: list[tuple[int, int]]) -> dict[int, list[float]]:
    found = {call_site: frees.of_site(at) for at, (call_site, _) in enumerate(sites)}
    return {place: ((ts - START) / S).tolist() for place, ts in found.items() if len(ts)}


def test_frees_of_older_objects_by_place_and_time() -> None:
    frees = older(4)
    events = [free(t * S, 64 * t, call_site=FREES[t % 2]) for t in (9, 3, 8, 4, 7)]
    sites = fed(events, frees, batch=2)
    frees.close()
    assert by_place(frees, sites) == {0x200: [4.0, 8.0], 0x210: [7.0, 9.0]}  # the one at 3 s is too early


def test_frees_of_objects_that_were_recorded_are_none() -> None:
    frees = older(4)
    sites = fed([alloc(S, 64), free(9 * S, 64), free(10 * S, 64), free(11 * S, 128)], frees)
    assert by_place(frees.close(), sites) == {0x200: [11.0]}  # the second free is none either


def test_in_a_stretch_recorded_objects_from_before_it_are_older() -> None:
    frees = older(24, begin_s=20)
    events = lives([(1000, 30_000, 0, 0), (21_000, 31_000, 0, 1), (2000, 22_000, 0, 1), (1, 40_000, 0, 1)])
    sites = fed(events, frees, batch=3)
    found = by_place(frees.close(), sites)
    assert found == {0x200: pytest.approx([30.0]), 0x210: pytest.approx([40.0])}


def test_no_frees_at_all() -> None:
    assert older(4).close().of_site(0).tolist() == []
