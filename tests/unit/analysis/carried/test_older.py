# SPDX-License-Identifier: Apache-2.0
"""Frees of objects from before a series, as they are carried."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from slabtrace.analysis.carried.older import MOST_FREES, OlderRows, merged
from slabtrace.trace.format import schema


def rows(*found: tuple[int, int, int, int]) -> OlderRows:
    return OlderRows(*np.array(found, np.int64).reshape(-1, 4).T)


def frees(of: OlderRows) -> list[tuple[int, int]]:
    return sorted(zip(*(each.tolist() for each in of.one_by_one()), strict=True))


def test_frees_are_carried_one_by_one_as_long_as_they_are_few() -> None:
    made = merged(rows((5, 5, 1, 1)), np.array([1, 2]), np.array([9, 7]), length_ns=1 << 20)
    assert frees(made) == [(1, 5), (1, 9), (2, 7)]
    assert made.frees.tolist() == [1, 1, 1]


def test_the_example_of_the_module() -> None:
    assert frees(rows((10, 14, 3, 3))) == [(3, 10), (3, 12), (3, 14)]


def test_many_frees_become_rows_by_site_and_stretch_and_none_is_lost() -> None:
    length_ns = 4096 * 100
    at = np.arange(0, length_ns, 10)  # 10 in each of the shortest stretches
    site = np.arange(len(at)) % 2
    made = merged(rows(), site, at, length_ns, most=3000)
    assert len(made.site) <= 3000
    found, ts_ns = made.one_by_one()
    for each in (0, 1):
        mine = np.sort(ts_ns[found == each])
        assert len(mine) == len(at) // 2
        assert np.abs(mine - at[site == each]).max() <= 2  # they came evenly
    again = merged(made, np.array([0]), np.array([length_ns]), 2 * length_ns, most=1500)
    assert len(again.site) <= 1500 and again.frees.sum() == len(at) + 1


def test_stretches_are_no_longer_than_a_64th_of_the_time() -> None:
    at = np.arange(6400)
    made = merged(rows(), np.zeros(6400, np.intp), at, 6400, most=10)
    assert len(made.site) >= 64


def test_what_no_longer_counts_is_left_out() -> None:
    assert frees(rows((1, 1, 0, 1), (3, 3, 0, 1), (2, 4, 1, 2)).since(3)) == [(0, 3), (1, 2), (1, 4)]


def test_rows_of_a_damaged_table_take_no_memory() -> None:
    times = [pa.array([1, 1, 1]), pa.array([2, 2, 2])]
    rest = [pa.array([0, 9, 1], pa.uint32()), pa.array([1, 1, 2**63], pa.uint64())]
    table = pa.table([*times, *rest], schema=schema.CARRIED["older"])
    assert frees(OlderRows.of_table(table, 2)) == [(0, 1)]
    most = rows(*[(0, 1, 0, MOST_FREES - 1)] * 3)
    assert len(most.one_by_one()[0]) == 0
