# SPDX-License-Identifier: Apache-2.0
"""Lifetimes of earlier parts by octave: as good as the lifetimes themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slabtrace.analysis.carried.deaths import Deaths
from slabtrace.analysis.counting.ages import Ages
from slabtrace.analysis.freeing.releases import Releases
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import scan
from slabtrace.trace.format import schema
from slabtrace.trace.writing.writer import record_batch
from tests.unit.synthetic import Event, alloc, free, intern, sites_of

S = 1_000_000_000
LIVED = (1, 2 * S, 3 * S, 5 * S, 9 * S, 30 * S)  # horizons of 64 s: 4.3, 8.6, 17.2 s


def events() -> list[Event]:
    found = []
    for number, lived in enumerate(LIVED):
        ptr = 64 * (number + 1)
        found += [alloc(number, ptr, call_site=0x100 + number % 2), free(number + lived, ptr)]
    return sorted([*found, alloc(S, 1 << 20), alloc(4 * S, 1 << 20)], key=lambda event: event.ts)


def carried(deaths: Deaths) -> tuple[pa.Table, pa.Table]:
    made = zip(deaths.columns(), ("lived", "pairs"), strict=True)
    tables = [(columns, schema.CARRIED[name]) for columns, name in made]
    lived, pairs = (pa.Table.from_batches([record_batch(*each)]) for each in tables)
    return lived, pairs


def test_ages_by_way_of_a_table_are_those_of_the_events() -> None:
    batch, columns = intern(events())
    sites = sites_of(columns)
    direct, first = Ages(len(sites), S, 65 * S), Deaths(len(sites))
    scan([batch], Pairer(sites), [direct, first])
    second = Deaths(len(sites))
    for _ in range(2):  # as if each part had the same
        second.take(*carried(first))
    ages = Ages(len(sites), S, 65 * S)
    second.give(ages)
    assert (ages.lived == 2 * direct.lived).all() and direct.lived.sum() == len(LIVED) + 1
    assert (ages.died == 2 * direct.died).all() and direct.died.sum(axis=0).tolist() == [3, 2, 1]
    assert ages.beyond_ns == pytest.approx(2 * direct.beyond_ns)
    assert [each.tolist() for each in ages.pairs()[:2]] == [each.tolist() for each in direct.pairs()[:2]]
    assert ages.pairs()[2].tolist() == (2 * direct.pairs()[2]).tolist()


def test_where_sites_are_divided_each_has_all_deaths() -> None:
    """Whose objects died is not carried."""
    batch, columns = intern([alloc(0, 64), free(5 * S, 64)])
    deaths = Deaths(2)
    scan([batch], Pairer(sites_of(columns)), [deaths])
    ages = Ages(4, S, 65 * S)
    deaths.give(ages, np.array([0, 1, 0, 0]))
    assert ages.died[:, 0].tolist() == [1, 0, 1, 1]
    alloc_at, freed_at, number = ages.pairs()
    assert sorted(zip(alloc_at.tolist(), freed_at.tolist(), number.tolist(), strict=True)) == [
        (0, 1, 1), (2, 1, 1), (3, 1, 1)
    ]  # fmt: skip


def test_rows_of_unknown_sites_are_ignored() -> None:
    """sites.arrow may be cut."""
    lived = pa.table({"site": [0, 7], "octave": [40, 40], "objects": [1, 1]}).cast(schema.CARRIED["lived"])
    pairs = {"site": [0, 0, 7], "freed_at": [1, 7, 1], "octave": [32, 32, 32], "objects": [1, 2, 3]}
    deaths = Deaths(2)
    deaths.take(lived, pa.table(pairs | {"lived_ns": [5e9, 1e10, 1.5e10]}).cast(schema.CARRIED["pairs"]))
    assert deaths.lived.sum() == 1 and deaths.old().objects.tolist() == [1]


def test_where_earlier_parts_freed_old_objects_is_known_but_not_by_process() -> None:
    """One of the six lived less than 1.07 s.  When they were allocated is not carried."""
    batch, columns = intern(events())
    sites = sites_of(columns)
    first, found = Deaths(len(sites)), Releases(S, 65 * S)
    scan([batch], Pairer(sites), [first])
    first.give(Ages(len(sites), S, 65 * S, releases=found))
    assert found.pairs().objects.sum() == 5 and found.pairs().when.sum() == 0
    divided = Releases(S, 65 * S)
    of_site = np.arange(len(sites))
    first.give(Ages(len(sites), S, 65 * S, releases=divided), of_site)
    assert not len(divided.pairs().objects)
