# SPDX-License-Identifier: Apache-2.0
"""The consumer's side of the mode "survivors", on maps made of plain memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slabtrace.capture.programs.layout import event_dtype, header_numbers, struct_dtype
from slabtrace.capture.stream.counted import Counted
from slabtrace.capture.stream.live_table import EVERYTHING, LiveTable
from slabtrace.capture.stream.sites import SiteTable
from slabtrace.capture.stream.survivors import MARGIN_NS, Survivors
from slabtrace.errors import UsageError
from slabtrace.trace.format.schema import Kind

SETS, KINDS, CPUS = 256, 64, 2
SENT = header_numbers("live_table.h")["OBJECT_SENT"]
LEAST_OCTAVE = header_numbers("counted.h")["LEAST_OCTAVE"]


class Maps:
    """In the place of Programs: maps of the mode, and what the programs would write to them."""

    def __init__(self) -> None:
        self.sets = np.zeros(SETS, struct_dtype("live_table.h", "live_set"))
        self.kinds = np.zeros(KINDS, event_dtype())
        self.counts = np.zeros(CPUS * KINDS, struct_dtype("counted.h", "kind_counts"))

    def mapped(self, name: str, dtype: Any, count: int) -> Any:
        array = {
            "live_sets": self.sets,
            "kind_events": self.kinds,
            "kind_counts": self.counts,
        }[name]
        return array.view(dtype)[:count]

    def kind(self, number: int, call_site: int) -> None:
        self.kinds[number]["call_site"] = call_site
        self.kinds[number]["kind"] = 1

    def keep(self, table: LiveTable, ptr: int, ts_ns: int, kind: int) -> None:
        """As take() and put() of bpf/live_table.h."""
        address = np.array([ptr], np.uint64)
        home, other = int(table._home_of(address)[0]), int(table._other_of(address)[0])
        place = home if (self.sets[home]["ptr"] == 0).any() else other
        way = int(np.flatnonzero(self.sets[place]["ptr"] == 0)[0])
        self.sets[place]["ptr"][way] = ptr
        self.sets[place]["object"][way] = (ts_ns, kind, 1, -1, 70, 71)


def test_addresses_for_the_slab_check_are_those_of_slabs() -> None:
    """A per-CPU pointer is no address: one of them made the range of pages too long for any slab's check."""
    maps = Maps()
    maps.kind(3, 0x500)
    maps.kind(5, 0x700)
    maps.kinds[5]["kind"] = Kind.PERCPU_ALLOC
    table = LiveTable(maps, SETS, KINDS)  # type: ignore[arg-type]
    maps.keep(table, 0xFFFF888100004000, 7, 3)
    maps.keep(table, 0x607FD0001000, 8, 5)
    assert table.addresses().tolist() == [0xFFFF888100004000]


@pytest.fixture
def maps() -> Maps:
    made = Maps()
    made.kind(3, 0x500)
    made.kind(5, 0x700)
    return made


@pytest.fixture
def table(maps: Maps) -> LiveTable:
    return LiveTable(maps, SETS, KINDS)  # type: ignore[arg-type]


def slots(found: Any) -> Any:
    rows = list(found)
    return np.concatenate(rows).view(event_dtype()).reshape(-1) if rows else np.zeros(0, event_dtype())


def test_the_old_are_taken_once_and_whole(maps: Maps, table: LiveTable) -> None:
    maps.keep(table, 0x1000, 100, kind=3)
    maps.keep(table, 0x2000, 900, kind=5)
    (found,) = slots(table.aged(500))
    assert (found["ptr"], found["ts_ns"], found["call_site"]) == (0x1000, 100, 0x500)
    assert (found["tgid"], found["tid"], found["cpu"], found["stack_id"]) == (70, 71, 1, -1)
    assert not len(slots(table.aged(500)))
    assert slots(table.aged(1000))["ptr"].tolist() == [0x2000]


def test_what_a_program_has_sent_is_not_taken(maps: Maps, table: LiveTable) -> None:
    maps.keep(table, 0x1000, 100, kind=3 | SENT)
    assert not len(slots(table.aged(EVERYTHING)))


def test_a_place_that_is_being_taken_is_no_object_yet(maps: Maps, table: LiveTable) -> None:
    maps.keep(table, 0x1000, 0, kind=3)
    assert not len(slots(table.aged(EVERYTHING)))


def test_an_address_used_again_is_another_object(maps: Maps, table: LiveTable) -> None:
    maps.keep(table, 0x1000, 100, kind=3)
    assert len(slots(table.aged(500))) == 1
    maps.sets["object"]["ts_ns"][maps.sets["ptr"] == 0x1000] = 700
    assert slots(table.aged(800))["ts_ns"].tolist() == [700]


def test_an_allocation_sent_after_it_was_taken_is_known(maps: Maps, table: LiveTable) -> None:
    maps.keep(table, 0x1000, 100, kind=3)
    taken = next(iter(table.aged(500)))
    free = taken.copy()
    free.view(event_dtype())["kind"] = 0x11
    other = taken.copy()
    other.view(event_dtype())["ts_ns"] = 101
    left = table.not_taken(np.concatenate([other, taken, free]))
    kept = left.view(event_dtype()).reshape(-1)
    assert list(zip(kept["kind"].tolist(), kept["ts_ns"].tolist(), strict=True)) == [(1, 101), (0x11, 100)]


def test_more_than_one_look_full(maps: Maps, table: LiveTable) -> None:
    for number in range(503):
        maps.keep(table, 0x10000 + 192 * number, 5, kind=3)
    assert sorted(slots(table.aged(6))["ptr"].tolist()) == [0x10000 + 192 * n for n in range(503)]
    assert len(table.addresses()) == 503


def test_the_objects_of_a_page_are_neighbours_and_what_is_too_much_for_a_home_is_elsewhere(
    table: LiveTable,
) -> None:
    page = 0xFFFF_8881_2345_6000 + np.arange(0, 4096, 64, dtype=np.uint64)
    home = table._home_of(page)
    assert home.tolist() == [(home[0] + n // 4) % SETS for n in range(64)]
    assert len(set(table._other_of(page).tolist())) > 50


def test_an_allocation_in_another_set_that_was_taken_is_known(maps: Maps, table: LiveTable) -> None:
    for number in range(8):  # one more than a home has places for
        maps.keep(table, 0x1000 + 8 * number, 100 + number, kind=3)
    taken = np.concatenate(list(table.aged(500)))
    assert len(taken) == 8
    assert not len(table.not_taken(taken))


def test_counts_are_differences_by_site_and_lifetime(maps: Maps) -> None:
    counted = Counted(maps, CPUS, KINDS)  # type: ignore[arg-type]
    maps.counts["lifetimes"][3, 4] = 11  # before the recording
    counted.start(1000)
    maps.counts["lifetimes"][3, 4] += 23
    maps.counts["lifetimes"][KINDS + 3, 4] += 41  # another CPU
    maps.counts["lifetimes"][5, 0] += 7
    maps.counts["moved"][KINDS + 3] += 13
    sites = SiteTable()
    rows = counted.take(2000, sites)
    by_site = dict(zip(rows["site"].tolist(), rows["objects"].tolist(), strict=True))
    assert sorted(by_site.values()) == [7, 64] and len(sites) == 2
    assert set(rows["lifetime_bin"].tolist()) == {2 * LEAST_OCTAVE + 4, 2 * LEAST_OCTAVE}
    assert sum(rows["moved"].tolist()) == 13
    assert (rows["begin_ns"][0], rows["end_ns"][0]) == (1000, 2000)
    assert counted.objects == 71
    assert not len(counted.take(3000, sites)["site"])


def test_until_when_the_story_is_whole(maps: Maps) -> None:
    from slabtrace.capture.options import CaptureOptions

    options = SimpleNamespace(live_sets=SETS, threshold_ns=1000)
    maps.kinds.resize(1 << 14, refcheck=False)
    maps.counts.resize(CPUS << 14, refcheck=False)
    survivors = Survivors(maps, options, CPUS)  # type: ignore[arg-type]
    older = 1000 + MARGIN_NS
    survivors.start(10 * older)
    survivors.emptied()
    assert survivors.known_until_ns == 9 * older
    assert list(survivors.sweep(20 * older)) == []
    assert survivors.known_until_ns == 9 * older  # what was freed during the sweep may still be in the rings
    survivors.emptied()
    assert survivors.known_until_ns == 19 * older
    assert not survivors.due(20 * older + 1)
    assert CaptureOptions(mode="survivors", live_objects=5_000_000).live_sets * 8 >= 10_000_000


@pytest.mark.parametrize("threshold", [0.0, 0.049, 121.0])
def test_a_threshold_that_cannot_be(threshold: float) -> None:
    from slabtrace.capture.options import CaptureOptions

    with pytest.raises(UsageError, match="--threshold"):
        CaptureOptions(mode="survivors", threshold_s=threshold)


def test_an_object_that_is_freed_while_addresses_are_read_is_none() -> None:
    """A free clears the time first, but a reader may have seen it before: then the address is 0."""
    table = LiveTable.__new__(LiveTable)
    table._ts = np.array([[5, 7, 0]], np.int64)
    table._ptr = np.array([[0x10, 0, 0x30]], np.uint64)
    table._object = np.zeros((1, 3), struct_dtype("live_table.h", "live_object"))
    table._kinds = np.zeros((1, 8), np.uint64)
    assert table.addresses().tolist() == [0x10]
