# SPDX-License-Identifier: Apache-2.0
"""The slab caches of a recording whose events may not name them.

kmem_cache_free names its cache since 5.12, kmem_cache_alloc only since 6.18.  So what a call site allocates
is named after the frees of these very objects; if none of them names a cache, by the size of the objects.
kmalloc names none: its cache is the one of that size.

Example: a call site allocates 192 bytes each from a cache without a name.  97 of its objects are freed by
kmem_cache_free with name=dentry, 2 by kfree.  The cache of this call site is called dentry.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from slabtrace.analysis.names.cache_names import LARGE
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.pairing.paired import How, Paired
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.importing.making.versions import traced_after, version_of
from slabtrace.importing.records import KINDS, Site
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import FREE_BIT, Flag, Kind

LARGEST_CACHE = 8192  # bytes: SLUB serves a larger kmalloc by whole pages (KMALLOC_MAX_CACHE_SIZE)
FIRST = 0xCACE_0000_0000_0000  # made-up addresses of caches: not canonical
LARGE_TWICE = (6, 12)
LEARNED = 4_000_000  # events: pairing more of them would take memory, and name no more call sites
SURE = 0.9  # of the frees that name a cache name this one


class Caches:
    """Gives the sites of a trace of the kernel `release` their cache.  `guessed`: one was named by size."""

    def __init__(self, release: str) -> None:
        self._version = version_of(release)
        self._named: dict[str, int] = {}
        self._unnamed: dict[tuple[int, int], int] = {}  # by call site and size
        self._object_size: dict[int, int] = {}
        self._names: Counter[tuple[int, int]] = Counter()  # of (unnamed cache, cache that a free named)
        self._sites = Sites()
        self._pairer = Pairer(self._sites, free_traced_after=traced_after(release))
        self._learned = 0
        self.guessed = False

    def of(self, site: Site, call_site: int) -> tuple[int, Flag]:
        """The cache of a site, 0 if it has none or it is not known, and what its flags say of that."""
        kind = KINDS[site.event]
        if site.cache:
            return self._by_name(site.cache, 0 if kind & FREE_BIT else site.bytes_req), Flag(0)
        if kind & FREE_BIT or not site.bytes_alloc:
            return 0, Flag.CACHE_UNKNOWN
        if kind == Kind.KMALLOC and site.bytes_alloc > LARGEST_CACHE:
            return (0, Flag.LARGE) if self._large_twice(site) else (self._by_name(LARGE, 0), Flag(0))
        self.guessed = True
        if kind == Kind.KMALLOC:
            return self._by_name(f"kmalloc-{_short(site.bytes_alloc)}", site.bytes_alloc), Flag(0)
        key = call_site, site.bytes_alloc
        cache = self._unnamed.setdefault(key, FIRST + (1 << 40) + 256 * len(self._unnamed))
        return cache, Flag(0)

    def learn(self, batch: EventBatch, new_sites: dict[str, Any]) -> None:
        """Take events, and rows of sites.arrow that are new, to see which caches the frees name."""
        if len(new_sites["site"]):
            self._sites.extend({name: np.array(each) for name, each in new_sites.items()})
        if self._unnamed and self._named and self._learned < LEARNED:
            self._learned += batch.size
            self._count(self._pairer.feed(batch))

    def rows(self, ts_ns: int) -> dict[str, list[Any]]:
        """All rows of caches.arrow, at the end."""
        self._count(self._pairer.flush())
        names = {cache: name for name, cache in self._named.items()}
        sure = self._sure()
        sizes = {cache: size for (_, size), cache in self._unnamed.items()}
        found = dict(names)
        for cache, size in sizes.items():
            found[cache] = names[sure[cache]] if cache in sure else f"({size}-byte objects)"
        count = len(found)
        return {
            "cache": list(found),
            "name": list(found.values()),
            "aliases": [[]] * count,
            "object_size": [self._object_size.get(each, sizes.get(each, 0)) for each in found],
            "size": [0] * count,
            "slab_flags": [0] * count,
            "order": [0] * count,
            "objects_per_slab": [0] * count,
            "reclaimable": [False] * count,
            "first_seen_ns": [ts_ns] * count,
        }

    def _large_twice(self, site: Site) -> bool:
        """Whether the kernel may report a large kmalloc twice, so that Flag.LARGE lets the pairing see it.

        It does from 6.12 on (docs/kernels.md).  Without a version: `accounted` is there since 6.0.
        """
        return site.accounted is not None if self._version is None else self._version >= LARGE_TWICE

    def _by_name(self, name: str, object_size: int) -> int:
        cache = self._named.setdefault(name, FIRST + 256 * len(self._named))
        if object_size:
            self._object_size.setdefault(cache, object_size)
        return cache

    def _count(self, paired: Paired | None) -> None:
        if paired is None:
            return
        freed = paired.ended(How.FREED)
        cache = self._sites["cache"]
        allocated, named = cache[paired.site[paired.alloc[freed]]], cache[paired.site[paired.end[freed]]]
        asked = (allocated >= FIRST + (1 << 40)) & (named != 0)
        both, count = np.unique(np.stack([allocated[asked], named[asked]]), axis=1, return_counts=True)
        for one, other, number in zip(*both.tolist(), count.tolist(), strict=True):
            self._names[one, other] += number

    def _sure(self) -> dict[int, int]:
        """By unnamed cache, the one that nearly all frees of its objects named; no other caches."""
        frees: Counter[int] = Counter()
        for (unnamed, _), count in self._names.items():
            frees[unnamed] += count
        return {one: named for (one, named), count in self._names.items() if count >= SURE * frees[one]}


def _short(size: int) -> str:
    """As the kernel names it: 96, 192, 1k, 8k."""
    return f"{size // 1024}k" if size % 1024 == 0 else str(size)
