# SPDX-License-Identifier: Apache-2.0
"""The slab caches of this kernel: which there are, and which are wanted.

A struct kmem_cache is a slab object itself: when a module is removed, the next cache that anybody makes may
get its address.  So a cache has an identity: its address plus the number of caches that ended there before.

Example: a module's cache `things` at 0x…c40 ends, and `other` is made there: identities 0x…c40 and 0x…c41.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable
from dataclasses import replace

from slabtrace.capture.slabs import walk
from slabtrace.capture.slabs.walk import SlabCache, SlabWalk

# struct kmem_cache is aligned to a cache line of 64 bytes (create_boot_cache in kmem_cache_init, mm/slub.c)
_GENERATIONS = 63
Judge = Callable[[int, bool], None]


def address_of(identity: int) -> int:
    """The address of the struct kmem_cache."""
    return identity & ~_GENERATIONS


def identity_of(address: int, before: int) -> int:
    """The identity of a cache with so many others before it; from the 64th on they share one."""
    return address | min(before, _GENERATIONS)


class KnownCaches:
    """Caches by identity.

    `globs`: those that --cache asks for.  `judge(address, wanted)` gives the programs what they filter by.
    """

    def __init__(self, reader: SlabWalk, any_cache: int, globs: tuple[str, ...], judge: Judge) -> None:
        self._walk, self._globs, self._judge = reader, globs, judge
        self._known: dict[int, SlabCache] = {}
        self._before: dict[int, int] = {}  # {address: caches that ended there}
        self._read_ns: dict[int, int] = {}  # when each was read, by identity
        self._doubted: set[int] = set()
        self.aliases = walk.aliases()
        self._add(reader.all_caches(any_cache))
        # a cache that never ends, to find the others by
        self._any = next((each.address for each in self.all() if each.name == "kmem_cache"), any_cache)

    def _add(self, caches: list[SlabCache]) -> None:
        for cache in caches:
            identity = self.identity(cache.address)
            self._known[identity] = replace(cache, identity=identity)
            self._read_ns[identity] = time.monotonic_ns()

    def identity(self, address: int) -> int:
        """The identity of the cache that is at this address now."""
        return identity_of(address, self._before.get(address, 0))

    def all(self) -> list[SlabCache]:
        """Every cache that was read so far."""
        return list(self._known.values())

    def by_address(self) -> dict[int, SlabCache]:
        """The caches that are there now, by the address of their struct kmem_cache."""
        return {each.address: each for each in self.all() if self.now_at(each.address) is each}

    def at(self, identity: int) -> SlabCache | None:
        """A cache; one that is new is read from the kernel's memory, if it is there still."""
        if identity not in self._known:
            address = address_of(identity)
            cache = self._walk.cache(address) if identity == self.identity(address) else None
            if cache is None:
                return None
            self._add([cache])
            self.judge(self._known[identity])
        return self._known[identity]

    def now_at(self, address: int) -> SlabCache | None:
        """The cache at this address, if it was read."""
        return self._known.get(self.identity(address))

    def ended(self, address: int, ts_ns: int, name: str = "") -> SlabCache | None:
        """The cache at this address ended at `ts_ns`; `name`: what it was called, "" if that is not known.

        If it lived for microseconds it was not read, or after that, so that it has the name of the next one:
        then it is returned as it is known from now on, by this name or by its address alone.
        """
        identity, known = self.identity(address), self.now_at(address)
        self._before[address] = self._before.get(address, 0) + 1
        if known is not None and (self._read_ns[identity] <= ts_ns or known.name == name):
            return None
        if known is None and not name:
            return None
        called = name or f"(cache at {address:#x})"
        self._known[identity] = unread = SlabCache(address, called, 0, 0, 0, 0, 0, 0, False, identity)
        return unread

    def names(self, cache: SlabCache) -> list[str]:
        """Its name and its aliases."""
        return [cache.name, *self.aliases.get(cache.name, [])]

    def wanted(self, cache: SlabCache | None) -> bool:
        """Does --cache ask for this cache, by its name or an alias?  Large kmallocs have none."""
        if not self._globs:
            return True
        names = self.names(cache) if cache else []
        return any(fnmatch.fnmatchcase(name, glob) for name in names for glob in self._globs)

    def judge(self, cache: SlabCache) -> None:
        """Give the programs the address of a cache, and whether it is wanted."""
        self._judge(cache.address, self.wanted(cache))

    def judge_all(self) -> None:
        """As `judge`, for every cache there is."""
        for cache in self._known.values():
            if self.now_at(cache.address) is cache:
                self.judge(cache)

    def look_again(self, ends_are_seen: bool) -> tuple[list[int], list[SlabCache]]:
        """Read all caches again: (addresses where another cache is now, caches that are new or renamed).

        `ends_are_seen`: a program reports the end of each cache (bpf/cache_end.h).  Then another cache at a
        known address means that the report is on its way, or was lost: it is believed at the second look.
        """
        aliases, self.aliases = self.aliases, walk.aliases()
        found = self._walk.all_caches(self._any)
        other = {each.address for each in found if self._is_another(each)}
        ended = other & self._doubted if ends_are_seen else other
        self._doubted = other - ended
        for address in ended:
            self.ended(address, time.monotonic_ns())
        new = [each for each in found if each.address not in other and self.now_at(each.address) is None]
        self._add(new := new + [each for each in found if each.address in ended])
        renamed = [each for each in found if aliases.get(each.name) != self.aliases.get(each.name)]
        changed = {each.address for each in new + renamed} - self._doubted
        caches = [cache for address in sorted(changed) if (cache := self.now_at(address)) is not None]
        for cache in caches:
            self.judge(cache)
        return sorted(ended), caches

    def _is_another(self, cache: SlabCache) -> bool:
        """Whether this is not the cache that is known at its address."""
        known = self.now_at(cache.address)
        return known is not None and replace(cache, identity=known.identity) != known
