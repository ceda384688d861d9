# SPDX-License-Identifier: Apache-2.0
"""The slab caches of a trace by name, and the cache of every site.

The kernel merges similar caches: they share one kmem_cache, one count and one name, that of the first; the
other names are `aliases`.  There is one row for each name, as in slabinfo.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.analysis.names.frames import comparable_cache
from slabtrace.analysis.names.sites import LARGE_KMALLOC, PERCPU_MEMORY, VMALLOC_AREAS, Sites
from slabtrace.trace.format.schema import LARGEST_ORDER, PAGES_OF_ORDER

LARGE = "(large kmalloc)"  # whole pages from the page allocator, without a cache
PERCPU = "(percpu)"  # per-CPU memory (record --percpu)
VMALLOC = "(vmalloc)"  # areas of vmalloc (record --vmalloc)
UNKNOWN_CACHE = "(unknown)"  # the page's owner could not be read
# Pages (record --pages), by the order of the block that they were allocated in.
PAGES = tuple(f"(pages order {order})" for order in range(LARGEST_ORDER + 1))

# Memory whose events are recorded only on request, by Sites.cache_key.
OTHER_MEMORY = {
    PERCPU_MEMORY: PERCPU,
    VMALLOC_AREAS: VMALLOC,
    **{PAGES_OF_ORDER + order: name for order, name in enumerate(PAGES)},
}
NO_CACHES = (LARGE, UNKNOWN_CACHE, *OTHER_MEMORY.values())
_ALLOCATORS = {
    LARGE: "large kmalloc", PERCPU: "percpu", VMALLOC: "vmalloc", UNKNOWN_CACHE: "",
    **dict.fromkeys(PAGES, "pages"),
}  # fmt: skip


def allocator_of(cache: str) -> str:
    """Which of the kernel's allocators gives out the memory of a cache; empty if that is not known."""
    return _ALLOCATORS.get(cache, "slab")


def is_other(cache: str) -> bool:
    """Whether it is memory of which every free has a tracepoint: per-CPU memory, pages, vmalloc."""
    return cache in OTHER_MEMORY.values()


@dataclass
class Caches:
    """c caches by name.  `of_site`: the cache of each site, shape (s,).

    `copies`: of a cache that stands for several copies of one kmalloc cache (`summed`) their names, else [].
    """

    names: list[str] = field(default_factory=list)
    aliases: list[list[str]] = field(default_factory=list)
    object_size: list[int] = field(default_factory=list)  # 0 where unknown
    size: list[int] = field(default_factory=list)
    reclaimable: list[bool] = field(default_factory=list)  # the kernel shrinks it when memory is short
    of_site: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    copies: list[list[str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def add(
        self,
        name: str,
        aliases: list[str] | None = None,
        object_size: int = 0,
        size: int = 0,
        reclaimable: bool = False,
    ) -> int:
        """The row of the cache `name`; it is added if it is new."""
        if name in self._row:
            return self._row[name]
        self._row[name] = len(self.names)
        self.names.append(name)
        self.aliases.append(aliases or [])
        self.object_size.append(object_size)
        self.size.append(size)
        self.reclaimable.append(reclaimable)
        self.copies.append([])
        return self._row[name]

    @property
    def all_traced(self) -> NDArray[np.bool_]:
        """Of which every free is traced, shape (c,): the slab allocator's silent paths are not theirs."""
        return np.array([is_other(name) for name in self.names], np.bool_)

    @property
    def pages_per_event(self) -> NDArray[np.int64]:
        """How many objects one lost event may stand for, shape (c,): the pages of a block, else 1."""
        return np.array([1 << PAGES.index(name) if name in PAGES else 1 for name in self.names], np.int64)

    def known(self, sites: Sites) -> dict[str, list[str]]:
        """Every cache and its other names: those merged into it, and copies of it that are summed.

        Caches without a name only if one of `sites` has them.
        """
        some = {*np.unique(self.of_site[~sites.page_end]).tolist()}
        rows = zip(self.names, self.aliases, self.copies, strict=True)
        return {
            name: [*others, *copies]
            for row, (name, others, copies) in enumerate(rows)
            if row in some or name not in NO_CACHES
        }

    def summed(self) -> tuple[Caches, NDArray[np.intp]]:
        """These with the copies of each kmalloc cache as one, by its common name (comparable_cache).

        Also the row there of each of these, shape (c,).
        """
        caches = Caches()
        row = np.zeros(len(self), np.intp)
        for at, name in enumerate(self.names):
            described = self.aliases[at], self.object_size[at], self.size[at], self.reclaimable[at]
            row[at] = caches.add(comparable_cache(name), *described)
        members: list[list[str]] = [[] for _ in range(len(caches))]
        for name, at in zip(self.names, row.tolist(), strict=True):
            members[at].append(name)
        caches.copies = [
            each if each != [name] else [] for name, each in zip(caches.names, members, strict=True)
        ]
        caches.of_site = row[self.of_site]
        return caches, row

    def __post_init__(self) -> None:
        self.copies = self.copies or [[] for _ in self.names]
        self._row = {name: row for row, name in enumerate(self.names)}


def name_caches(table: pa.Table, sites: Sites, others: list[str]) -> Caches:
    """The caches of caches.arrow (`table`), those of `sites`, and `others` (names from slabinfo).

    A cache that is not in caches.arrow is named by its address.
    """
    caches = Caches()
    row_of = {0: caches.add(UNKNOWN_CACHE), LARGE_KMALLOC: caches.add(LARGE)}
    for key in np.intersect1d(sites.cache_key, np.array([*OTHER_MEMORY], np.uint64)).tolist():
        page = int(sites["bytes_alloc"][sites.cache_key == key].max()) if key >= PAGES_OF_ORDER else 0
        row_of[key] = caches.add(OTHER_MEMORY[key], object_size=page, size=page)
    for row in table.to_pylist():
        sizes = row["object_size"], row["size"]
        known = caches.add(row["name"], row["aliases"], *sizes, bool(row["reclaimable"]))
        row_of[row["cache"]] = known
    keys, inverse = np.unique(sites.cache_key, return_inverse=True)
    rows = [row_of[key] if key in row_of else caches.add(f"(cache at {key:#x})") for key in keys.tolist()]
    caches.of_site = np.array(rows, np.intp)[inverse]
    for name in others:
        caches.add(name)
    return caches
