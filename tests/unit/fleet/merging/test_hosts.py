# SPDX-License-Identifier: Apache-2.0
"""Hosts are counted, not traces."""

from __future__ import annotations

import random
from typing import Any

from slabtrace.fleet.merging.hosts import Host, hosts_of
from slabtrace.fleet.merging.merged import Row
from tests.unit.fleet.fleets import facts_of

RNG = random.Random(1)
HOUR = 3600


def row(name: str, host: str, boot: str, begin: int, end: int, **values: Any) -> Row:
    """A trace of a host; times in s since noon, its monotonic clock runs since then as well."""
    times = {"begin_s": 10**9 + begin, "end_s": 10**9 + end, "begin_ns": begin * 10**9, "end_ns": end * 10**9}
    facts = facts_of(0, 0, RNG, fingerprint=name, host=host, boot_id=boot, part=None, **(times | values))
    return Row(facts, name, name, (), frozenset())


def names(host: Host) -> list[list[str]]:
    return [[each.place for each in boot] for boot in host.boots]


def test_parts_of_one_boot_are_in_order_whatever_the_time_of_day_says() -> None:
    late_clock = row("c", "h", "b", 3 * HOUR, 4 * HOUR, begin_s=5, end_s=6)
    (host,) = hosts_of([late_clock, row("a", "h", "b", 0, HOUR), row("b", "h", "b", HOUR, 2 * HOUR)])
    assert names(host) == [["a", "b", "c"]]
    assert host.row.place == "c" and host.sure


def test_a_reboot_is_the_same_host() -> None:
    rows = [row("new", "h", "b2", 2 * HOUR, 3 * HOUR), row("old", "h", "b1", 0, HOUR)]
    (host,) = hosts_of(rows)
    assert names(host) == [["old"], ["new"]]
    assert [each.place for each in host.newest] == ["new"]


def test_two_hosts_of_one_name_ran_at_the_same_time() -> None:
    rows = [
        row("1", "web", "b1", 0, 2 * HOUR),
        row("2", "web", "b2", 2 * HOUR + 300, 5 * HOUR),  # after a reboot
        row("3", "web", "b3", HOUR, 4 * HOUR),
    ]
    for order in (rows, rows[::-1]):
        first, second = hosts_of(order)
        assert (first.name, names(first)) == ("web", [["1"], ["2"]])
        assert (second.name, names(second)) == ("web (2)", [["3"]])


def test_a_clock_that_was_set_back_a_little_makes_no_second_host() -> None:
    assert len(hosts_of([row("1", "h", "b1", 0, HOUR), row("2", "h", "b2", HOUR - 200, 2 * HOUR)])) == 1


def test_traces_without_a_boot_id_are_one_host_and_unnamed_ones_each_their_own() -> None:
    (host,) = hosts_of([row("1", "h", "", 0, HOUR), row("2", "h", "", 0, HOUR)])
    assert not host.sure
    unnamed = hosts_of([row("1" * 32, "", "", 0, HOUR), row("2" * 32, "", "", 0, HOUR)])
    assert [each.name for each in unnamed] == [f"(unnamed {'1' * 12})", f"(unnamed {'2' * 12})"]
