# SPDX-License-Identifier: Apache-2.0
"""Caches that come, go, and get the address of others."""

from __future__ import annotations

import time
from typing import cast

import pytest

from slabtrace.capture.slabs import walk
from slabtrace.capture.slabs.known_caches import KnownCaches
from slabtrace.capture.slabs.walk import SlabCache, SlabWalk

NEVER = 1 << 62  # ns: later than anything was read
BOOT, C40 = 0xFFFF_8880_0000_0000, 0xFFFF_8880_0000_0C40


def cache(address: int, name: str, size: int = 64) -> SlabCache:
    return SlabCache(address, name, size, size, 0, 0, 4096 // size, 0, False)


class Kernel:
    """The caches of a kernel, by address, and what the programs were given."""

    def __init__(self, *caches: SlabCache) -> None:
        self.caches = {each.address: each for each in (cache(BOOT, "kmem_cache"), *caches)}
        self.judged: dict[int, bool] = {}

    def all_caches(self, any_cache: int) -> list[SlabCache]:
        assert any_cache == BOOT
        return list(self.caches.values())

    def cache(self, address: int) -> SlabCache | None:
        return self.caches.get(address)

    def known(self, *globs: str) -> KnownCaches:
        return KnownCaches(cast("SlabWalk", self), BOOT, globs, self.judged.__setitem__)


@pytest.fixture(autouse=True)
def aliases(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What /sys/kernel/slab says of merged caches; a test may change it."""
    found: dict[str, list[str]] = {}
    monkeypatch.setattr(walk, "aliases", lambda: dict(found))
    return found


def name(known: KnownCaches, identity: int) -> str:
    found = known.at(identity)
    return found.name if found else ""


def test_another_cache_at_the_address_of_one_that_ended() -> None:
    kernel = Kernel(cache(C40, "things", 192))
    known = kernel.known("other*")
    known.judge_all()
    assert kernel.judged == {BOOT: False, C40: False}
    known.ended(C40, NEVER)
    kernel.caches[C40] = cache(C40, "others", 256)
    assert known.identity(C40) == C40 + 1 and known.now_at(C40) is None
    assert (name(known, C40), name(known, C40 + 1)) == ("things", "others")
    assert kernel.judged[C40] and known.now_at(C40) == known.at(C40 + 1)


def test_one_that_was_never_read_is_not_taken_for_the_one_that_is_there_now() -> None:
    kernel = Kernel(cache(C40, "first"))
    known = kernel.known()
    known.ended(C40, NEVER)
    known.ended(C40, NEVER)
    kernel.caches[C40] = cache(C40, "third")
    assert [name(known, C40 + n) for n in range(4)] == ["first", "", "third", ""]


def test_a_cache_that_is_new_is_read_when_it_is_asked_for() -> None:
    kernel = Kernel()
    known = kernel.known()
    kernel.caches[C40] = cache(C40, "things")
    assert name(known, C40) == "things" and kernel.judged == {C40: True}
    assert known.at(C40 + 64) is None


@pytest.mark.parametrize(("ends_are_seen", "looks"), [(False, 1), (True, 2)])
def test_an_end_that_nobody_reported(ends_are_seen: bool, looks: int) -> None:
    """Where ends are reported, the report may be on its way at the first look."""
    kernel = Kernel(cache(C40, "things"))
    known = kernel.known()
    kernel.caches[C40] = cache(C40, "others")
    for _ in range(looks - 1):
        assert known.look_again(ends_are_seen) == ([], [])
    ended, new = known.look_again(ends_are_seen)
    assert ended == [C40] and [each.name for each in new] == ["others"]
    assert known.look_again(ends_are_seen) == ([], [])


def test_an_end_that_was_reported_between_two_looks() -> None:
    kernel = Kernel(cache(C40, "things"))
    known = kernel.known()
    kernel.caches[C40] = cache(C40, "others")
    assert known.look_again(True) == ([], [])
    known.ended(C40, NEVER)
    ended, new = known.look_again(True)
    assert ended == [] and [(each.name, each.identity) for each in new] == [("others", C40 + 1)]


def test_a_cache_gets_an_alias_that_is_wanted(aliases: dict[str, list[str]]) -> None:
    kernel = Kernel(cache(C40, "kmalloc-64"))
    known = kernel.known("my_*")
    known.judge_all()
    assert kernel.judged[C40] is False
    aliases["kmalloc-64"] = ["my_things"]
    assert [each.name for each in known.look_again(True)[1]] == ["kmalloc-64"]
    assert kernel.judged[C40] is True and known.names(cache(C40, "kmalloc-64")) == ["kmalloc-64", "my_things"]


def test_one_that_was_read_after_its_end_has_not_the_name_of_the_next() -> None:
    """Seen in the lab: a cache that lived for microseconds, and another one made at its address."""
    kernel = Kernel()
    known = kernel.known()
    before = time.monotonic_ns()
    kernel.caches[C40] = cache(C40, "second", 256)
    assert name(known, C40) == "second"  # an event of the first is stored, but it is read too late
    nameless = known.ended(C40, before)
    assert nameless is not None and nameless.identity == C40 and name(known, C40) == f"(cache at {C40:#x})"
    assert name(known, C40 + 1) == "second" and known.now_at(C40) == known.at(C40 + 1)


def test_one_that_ended_before_it_was_read_has_the_name_that_its_end_says() -> None:
    kernel = Kernel()
    known = kernel.known()
    before = time.monotonic_ns()
    assert known.ended(C40, before) is None  # not even a name: nothing is known of it
    first = known.ended(C40, before, "first")
    assert first is not None and (first.name, first.identity) == ("first", C40 + 1)
    kernel.caches[C40] = cache(C40, "third", 256)
    assert name(known, C40 + 2) == "third"  # read too late
    known.ended(C40, before, "second")
    assert [name(known, C40 + number) for number in (1, 2, 3)] == ["first", "second", "third"]
    assert known.ended(C40, before, "third") is None and known.at(C40 + 3) is not None  # it is this one
    kernel.caches[C40] = cache(C40, "fourth", 256)
    assert name(known, C40 + 4) == "fourth"
    assert known.ended(C40, NEVER, "another name") is None and name(known, C40 + 4) == "fourth"
