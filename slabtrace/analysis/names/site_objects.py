# SPDX-License-Identifier: Apache-2.0
"""What the objects of each site are, and of groups of them: objects.py, applied to a trace."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slabtrace.analysis.names.cache_names import LARGE, Caches
from slabtrace.analysis.names.objects import kind_of, summary
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.symbols import Stacks, Symbols

NOT_KNOWN = 0  # the number of the name ""

Key = tuple[int, int, int, int]  # cache (a row of Caches), call site, stack_id, pages of a large kmalloc


class SiteObjects(NamedTuple):
    """`names`: what objects are, "" first; `of_site`, shape (s,): the number of a name, or NOT_KNOWN."""

    names: list[str]
    of_site: NDArray[np.intp]

    def of_groups(
        self, member: NDArray[np.intp], site: NDArray[np.uint32], groups: NDArray[np.intp]
    ) -> list[str]:
        """What n objects are, by group (objects.summary), for each of `groups`.

        `member`, `site`, shape (n,): the group and the site of each object; a group below 0 is none.
        """
        number = len(self.names)
        keys, objects = np.unique(member * number + self.of_site[site], return_counts=True)
        found: dict[int, list[str]] = {}
        for at in np.argsort(-objects, kind="stable").tolist():
            found.setdefault(int(keys[at] // number), []).append(self.names[int(keys[at] % number)])
        return [summary(found.get(group, [])) for group in groups.tolist()]


def site_objects(
    sites: Sites, caches: Caches, stacks: Stacks, symbols: Symbols, held: NDArray[np.int64], page_size: int
) -> SiteObjects:
    """What the objects of each site are, where `held` (outstanding objects), shape (s,), is not 0.

    `page_size`: bytes, for the order of a large kmalloc.

    Where a call site records only some of its stacks, the objects without one are what all the others of
    its cache are.
    """
    some = np.flatnonzero(held > 0)
    large = np.array([name == LARGE for name in caches.names], np.bool_)[caches.of_site[some]]
    pages = np.where(large, sites["bytes_alloc"][some].astype(np.int64) // page_size, 0)
    columns = caches.of_site[some], sites["call_site"][some].view(np.int64), sites["stack_id"][some], pages
    keys, which = np.unique(
        np.stack([each.astype(np.int64) for each in columns]), axis=1, return_inverse=True
    )
    rows: list[Key] = [(cache, site % 2**64, stack, size) for cache, site, stack, size in keys.T.tolist()]
    said = _as_the_others(rows, [_named(each, caches, stacks, symbols) for each in rows])
    names = list(dict.fromkeys(["", *said]))
    number = {name: at for at, name in enumerate(names)}
    of_site = np.full(len(sites), NOT_KNOWN, np.intp)
    of_site[some] = np.array([number[each] for each in said], np.intp)[which.reshape(-1)]
    return SiteObjects(names, of_site)


def order_of(pages: int) -> int:
    """The order of an allocation of so many pages: 4 pages are of order 2."""
    return max(pages - 1, 0).bit_length()


def _named(key: Key, caches: Caches, stacks: Stacks, symbols: Symbols) -> str:
    cache, call_site, stack_id, pages = key
    symbol = symbols.name(call_site) if call_site else ""
    kind = kind_of(caches.names[cache], caches.aliases[cache], symbol, stacks.names(stack_id))
    order = f"order {order_of(pages)}" if pages else ""
    return ": ".join(filter(None, [order, kind.name if kind else ""]))


def _as_the_others(rows: list[Key], said: list[str]) -> list[str]:
    """`said` of each row; one without a stack is as all others of its call site, which say more."""
    others: dict[tuple[int, int, int], set[str]] = {}
    for (cache, site, stack_id, pages), name in zip(rows, said, strict=True):
        if stack_id >= 0:
            others.setdefault((cache, site, pages), set()).add(name)
    found = []
    for (cache, site, stack_id, pages), name in zip(rows, said, strict=True):
        same = others.get((cache, site, pages), set()) if stack_id < 0 else set()
        found.append(next(iter(same)) if len(same) == 1 else name)
    return found
