# SPDX-License-Identifier: Apache-2.0
"""Objects that the kernel keeps on purpose, though their cache is not marked so: they grow without a leak."""

from __future__ import annotations

import re
from typing import NamedTuple


class Design(NamedTuple):
    """`reason`: why the kernel keeps it.  `shrinks`: whether the kernel frees it when memory is short."""

    cache: re.Pattern[str]
    symbol: re.Pattern[str]
    shrinks: bool
    reason: str


ANY = re.compile("")

KNOWN = (
    # mm/slub.c: one vector per slab, for as long as the slab lives; named after memcg before 6.10
    Design(
        ANY,
        re.compile(r"^(alloc_slab_obj_exts|memcg_alloc_(slab|page)_(obj_)?cgroups)\b"),
        False,
        "bookkeeping of the slab allocator, which grows with the slabs of other caches",
    ),
    # mm/slub.c, 6.18: per-CPU arrays of free objects
    Design(
        ANY,
        re.compile(r"^(_*alloc_(empty|full)_sheaf|__pcs_replace_(empty|full)_main)\b"),
        False,
        "free objects that the slab allocator keeps for itself",
    ),
    # mm/vmalloc.c, 6.9: freed areas stay in pools by size, which a shrinker ("vmap-node") empties
    Design(
        re.compile(r"^vmap_area$"),
        ANY,
        True,
        "vmalloc keeps freed areas in pools, and frees them when memory is short",
    ),
)


def by_design(cache: str, symbol: str) -> Design | None:
    """The known design that objects of `cache` allocated at `symbol` ("": not distinguished) are part of."""
    return next((each for each in KNOWN if each.cache.search(cache) and each.symbol.search(symbol)), None)
