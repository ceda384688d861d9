# SPDX-License-Identifier: Apache-2.0
"""Pairs of places of allocation and free, counted in batches and one by one."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.freeing import releases
from slabtrace.analysis.freeing.releases import MISSED, PARTS, Releases
from slabtrace.trace.format.schema import Flag
from tests.unit.analysis.counting.test_ages import FREES, SECONDS, SITES, SPANS, S, fed, lives
from tests.unit.synthetic import START, alloc, free

END = START + SECONDS * S
Object = tuple[int, int, int, int]  # site, site of the free, allocated, lived

OBJECTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 70 * S), st.integers(1, 9 * S)),
    max_size=60,
)


def counted(objects: list[Object], batch: int, begin_ns: int = 0, end_ns: int = 64 * S) -> Releases:
    found = Releases(begin_ns, end_ns)
    for at in range(0, len(objects), batch):
        site, freed_at, born, lived = (np.array(each) for each in zip(*objects[at : at + batch], strict=True))
        found.add(site, freed_at, born + lived, lived)
    return found


Found = dict[tuple[int, int], tuple[dict[int, int], int, int]]  # by pair: when, last free, longest life


def by_hand(objects: list[Object], part_ns: int, begin_ns: int = 0) -> Found:
    when: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    last: dict[tuple[int, int], int] = defaultdict(int)
    longest: dict[tuple[int, int], int] = defaultdict(int)
    for site, freed_at, born, lived in objects:
        key = site, freed_at
        part = 0 if born < begin_ns else min((born - begin_ns) // part_ns + 1, PARTS)
        when[key][part] += 1
        last[key], longest[key] = max(last[key], born + lived), max(longest[key], lived)
    return {key: (dict(when[key]), last[key], longest[key]) for key in when}


def as_found(found: Releases) -> Found:
    pairs = found.pairs()
    rows = zip(*(each.tolist() for each in pairs), strict=True)
    return {
        (site, at): ({k: n for k, n in enumerate(when) if n}, last, longest)
        for site, at, _, when, last, longest in rows
    }


@given(OBJECTS, st.integers(1, 70), st.sampled_from([0, 10 * S]), st.sampled_from([1, 2, 18]))
def test_counted_in_batches_and_one_by_one(
    objects: list[Object], batch: int, begin_ns: int, table_bits: int
) -> None:
    """Also where nearly all pairs have the same place in the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(releases, "TABLE_BITS", table_bits)
        patch.setattr(releases, "PIECE", 16)
        found = counted(objects, batch, begin_ns)
    assert as_found(found) == by_hand(objects, found.part_ns, begin_ns)
    assert found.pairs().objects.sum() == len(objects) and found.unlisted == 0


@given(SPANS, st.integers(1, 90))
def test_ages_count_the_lifetimes_of_all_that_was_freed(
    spans: list[tuple[int, int, int, int]], batch: int
) -> None:
    ages = Ages(16, START, END, releases=Releases(START, END))
    names = [call_site for call_site, _ in fed(lives(spans), ages, batch=batch)]
    assert ages.releases is not None
    pairs = ages.releases.pairs()
    found = {
        (names[site], names[at]): n
        for site, at, n in zip(*(each.tolist() for each in pairs[:3]), strict=True)
    }
    assert found == Counter((SITES[site], FREES[freed]) for *_, site, freed in spans)


def test_the_example() -> None:
    found = counted([(3, 8, 10 * S, 2 * S)], 1)
    (pair,) = as_found(found).items()
    assert pair == ((3, 8), ({1 + 10 * S // (1 << 30): 1}, 12 * S, 2 * S))


def test_a_free_that_was_missed_is_nowhere_and_a_second_record_is_no_pair() -> None:
    ages = Ages(16, START, END, releases=Releases(START, END))
    twice = [alloc(S, 64), alloc(S + 600, 64, flags=Flag.RECOVERED), free(2 * S, 64)]
    fed([*twice, alloc(3 * S, 128), alloc(9 * S, 128)], ages)
    assert ages.releases is not None
    pairs = ages.releases.pairs()
    assert sorted(zip(pairs.freed_at.tolist(), pairs.objects.tolist(), strict=True))[0] == (MISSED, 1)
    assert pairs.objects.tolist() == [1, 1]


def test_pairs_beyond_the_limit_are_only_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "MOST_PAIRS", 3)
    objects = [(site, 9, S, 5) for site in (0, 1, 2, 3, 4, 1, 3)]
    found = counted(objects, 2)
    assert {key[0]: sum(when.values()) for key, (when, *_) in as_found(found).items()} == {0: 1, 1: 2, 2: 1}
    assert found.unlisted == 3
    found.take(np.array([4, 0]), np.array([9, 9]), np.array([10, 20]))
    assert found.unlisted == 13 and found.pairs().objects.tolist() == [21, 2, 1]


def test_what_earlier_parts_counted_has_no_time() -> None:
    found = Releases(0, 64 * S)
    found.take(np.array([1, 2]), np.array([8, 8]), np.array([5, 7]))
    found.add(np.array([1]), np.array([8]), np.array([3 * S]), np.array([S]))
    pairs = found.pairs()
    assert pairs.objects.tolist() == [6, 7] and pairs.when.sum(axis=1).tolist() == [1, 0]
    assert pairs.last_ns.tolist() == [3 * S, -1]


@pytest.mark.parametrize("seconds", [1e-9, 1, 64, 86_400, 30 * 86_400])
def test_the_parts_cover_the_time(seconds: float) -> None:
    length = max(int(seconds * S), 1)
    found = Releases(7, 7 + length)
    assert found.parts(np.array([6, 7, 6 + length])).tolist()[:2] == [0, 1]
    last = int(found.parts(np.array([6 + length]))[0])
    assert (PARTS // 2 <= last <= PARTS) or length < PARTS
