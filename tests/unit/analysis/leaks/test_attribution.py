# SPDX-License-Identifier: Apache-2.0
"""How the frees of older objects are divided, and whether the cache agrees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.leaks.attribution import Shares, attributed
from slabtrace.analysis.leaks.cache_balance import confirms, gained

A, B, C = range(3)
F, G = 3, 4  # sites of frees; sites 0 to 2 are those of the groups' allocations


def older_at(*sites: int) -> OlderFrees:
    frees = OlderFrees(0)
    frees.take(np.array(sites, np.intp), np.arange(len(sites), dtype=np.int64))
    return frees.close()


def divided(
    frees: OlderFrees, pairs: list[tuple[int, int, int]], kept: list[int], caches: tuple[int, ...] = (0, 0, 0)
) -> Shares:
    columns = np.array(pairs, np.int64).reshape(-1, 3).T
    of_cache = np.array([*caches, 0, 0], np.intp)
    group_of_site = np.array([A, B, C, -1, -1], np.intp)
    sites = (columns[0].astype(np.intp), columns[1].astype(np.intp), columns[2])
    return attributed(frees, sites, group_of_site, of_cache, np.array(caches, np.intp), np.array(kept))


def number(shares: Shares, frees: OlderFrees) -> list[float]:
    """How many older frees count for each of the three groups."""
    return [sum(share * len(frees.of_site(site)) for site, share in shares.of_group(g)) for g in (A, B, C)]


RECORDED = [(B, F, 90), (C, F, 30)]


@pytest.mark.parametrize(("frees", "expected"), [([F] * 40, [0, 30, 10]), ([G] * 8, [8, 0, 0])])
def test_the_example(frees: list[int], expected: list[float]) -> None:
    older = older_at(*frees)
    assert number(divided(older, RECORDED, [64, 10, 6]), older) == expected


def test_where_all_groups_are_freed_elsewhere_they_share_by_what_they_keep() -> None:
    older = older_at(*[G] * 80)
    assert number(divided(older, [(A, F, 1), *RECORDED], [64, 10, 6]), older) == [64, 10, 6]


def test_groups_of_other_caches_have_no_share() -> None:
    older = older_at(*[G] * 8)
    assert number(divided(older, [], [5, 5, 20], caches=(0, 0, 1)), older) == [4, 4, 0]


def test_frees_of_a_cache_that_keeps_nothing_belong_to_nobody() -> None:
    older = older_at(G)
    assert number(divided(older, [], [0, 0, 0]), older) == [0, 0, 0]


def test_recorded_frees_of_a_site_without_a_group_do_not_count() -> None:
    older = older_at(F)
    assert number(divided(older, [(G, F, 99), (B, F, 1)], [5, 5, 5]), older) == [0, 1, 0]


PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(3, 4), st.integers(1, 99)), max_size=6)


@given(
    st.lists(st.sampled_from([F, G]), max_size=20),
    PAIRS,
    st.lists(st.integers(1, 50), min_size=3, max_size=3),
)
def test_every_free_counts_once(frees: list[int], pairs: list[tuple[int, int, int]], kept: list[int]) -> None:
    older = older_at(*frees)
    shares = divided(older, list({pair[:2]: pair for pair in pairs}.values()), kept)
    assert sum(number(shares, older)) == pytest.approx(len(frees))
    assert (shares.share > 0).all() and (shares.share <= 1).all()


HORIZON = 4 / 64


def test_the_example_of_a_cache() -> None:
    """64 leak in 60 s; in second 20 a process ends, and 500 older objects of the cache go."""
    kept = np.linspace(0, 1 - HORIZON, 64, endpoint=False)
    gone = np.full(500, 20 / 64)
    assert len(kept) - len(gone) == -436
    assert gained(kept, gone, HORIZON) == 64
    assert confirms(64, 64) and confirms(32, 64) and not confirms(31, 64)


def test_a_cache_that_is_balanced_all_along_gained_nothing() -> None:
    times = np.linspace(0, 1 - HORIZON, 80, endpoint=False)
    assert gained(times, times + HORIZON, HORIZON) == 0
    assert not confirms(0, 1)


def test_a_cache_gains_at_least_the_sum() -> None:
    """All came in one part: the median is 0, the sum is not."""
    assert gained(np.full(50, 0.1), np.empty(0), HORIZON) == 50
