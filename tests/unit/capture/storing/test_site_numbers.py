# SPDX-License-Identifier: Apache-2.0
"""Sites of caches whose address is used again: the time of an event decides which cache it is of."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.capture.programs.layout import event_dtype
from slabtrace.capture.slabs.known_caches import address_of, identity_of
from slabtrace.capture.storing.site_numbers import SiteNumbers, SiteRows

C40, D00 = 0xFFFF_8880_0000_0C40, 0xFFFF_8880_0000_0D00


def rows(*caches: int) -> SiteRows:
    made = np.zeros(len(caches), event_dtype())
    made["cache"], made["call_site"] = caches, np.arange(len(caches)) + 1
    return made


def of(numbers: SiteNumbers, site: list[int], ts_ns: list[int]) -> list[int]:
    return numbers.of(np.array(site, np.uint32), np.array(ts_ns)).tolist()


def taken(numbers: SiteNumbers) -> list[int]:
    new = numbers.take_new()
    return [] if new is None else new["cache"].tolist()


def test_numbers_stay_as_they_are_until_a_cache_ends() -> None:
    numbers, site = SiteNumbers(), np.array([1, 0, 1], np.uint32)
    numbers.add(rows(C40, D00))
    assert numbers.of(site, np.array([1, 2, 3])) is site
    assert taken(numbers) == [C40, D00] and taken(numbers) == []


def test_the_example() -> None:
    numbers = SiteNumbers()
    numbers.add(rows(*[D00] * 7, C40, D00))
    taken(numbers)
    numbers.ended(5_000, C40)
    assert of(numbers, [7, 7, 3, 7], [4_900, 5_100, 5_100, 5_200]) == [7, 9, 3, 9]
    (new,) = taken(numbers)
    assert new == C40 + 1 and address_of(new) == C40
    assert of(numbers, [7, 7], [4_000, 6_000]) == [7, 9] and taken(numbers) == []


def test_a_site_that_comes_after_the_end_is_of_the_new_cache_unless_its_event_is_older() -> None:
    numbers = SiteNumbers()
    numbers.ended(5_000, C40)
    numbers.add(rows(C40))
    assert taken(numbers) == [C40 + 1]
    assert of(numbers, [0], [5_000]) == [0] and taken(numbers) == []
    assert of(numbers, [0], [4_999]) == [1] and taken(numbers) == [C40]


def test_sites_that_follow_are_numbered_behind_those_in_between() -> None:
    numbers = SiteNumbers()
    numbers.add(rows(C40))
    numbers.ended(5_000, C40)
    assert of(numbers, [0], [6_000]) == [1]
    numbers.add(rows(D00))
    assert of(numbers, [1, 0], [7_000, 7_000]) == [2, 1]
    assert numbers.newest(np.array([0, 1], np.uint32)).tolist() == [1, 2]
    assert taken(numbers) == [C40, C40 + 1, D00]


def test_more_caches_at_an_address_than_an_identity_can_count() -> None:
    assert [identity_of(C40, n) - C40 for n in (0, 1, 62, 63, 64, 1000)] == [0, 1, 62, 63, 63, 63]
    assert {address_of(identity_of(C40, n)) for n in range(100)} == {C40}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 100)), max_size=30),
    st.lists(st.tuples(st.sampled_from([C40, D00]), st.integers(1, 100)), max_size=6),
)
def test_whatever_comes_and_ends(events: list[tuple[int, int]], ends: list[tuple[int, int]]) -> None:
    """Each event's stored row has its call site, and the identity of the cache at its time."""
    numbers, caches = SiteNumbers(), [C40, D00, C40, 0]
    numbers.add(rows(*caches[:2]))
    for address, ts_ns in ends:
        numbers.ended(ts_ns, address)
    numbers.add(rows(*caches)[2:])
    site, ts_ns = [s for s, _ in events], [t for _, t in events]
    stored = of(numbers, site, ts_ns)
    table = numbers.take_new()
    assert table is not None
    for one, at, number in zip(site, ts_ns, stored, strict=True):
        before = sum(address == caches[one] and end <= at for address, end in ends)
        assert table["call_site"][number] == one + 1
        assert table["cache"][number] == (identity_of(caches[one], before) if caches[one] else 0)
