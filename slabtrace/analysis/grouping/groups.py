# SPDX-License-Identifier: Apache-2.0
"""Groups of allocation sites: by cache, and in a cache by stack, call site, module, process or context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.grouping.sampled_stacks import shared_stacks
from slabtrace.analysis.grouping.whose import KINDS
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.symbols import Stacks, Symbols
from slabtrace.trace.format.schema import STACK_NOT_TAKEN

# What is distinguished within a cache.  Processes are distinguished by the sites themselves (processes.py).
KEYS = {
    "stack": ["call_site", "stack_id"],
    "own stack": ["call_site", "stack_id"],  # sampled stacks are not merged (sampled_stacks.py)
    "call_site": ["call_site"],
    "module": ["module"],
    **{each: ["process"] for each in KINDS},
    "work": ["context"],
    "cache": [],
}


@dataclass
class Groups:
    """g groups of allocation sites.

    `of_site`, shape (s,): the group of each site, -1 for sites of frees.  Of each group, shape (g,): `cache`
    (a row of Caches), `call_site`, `stack_id` (STACK_NOT_TAKEN where several stacks share the group, see
    sampled_stacks.py), `module` and `process`.  What is not distinguished is 0, -1, None and -1.
    """

    of_site: NDArray[np.intp]
    cache: NDArray[np.intp]
    call_site: NDArray[np.uint64]
    stack_id: NDArray[np.int32]
    module: NDArray[np.object_]
    process: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cache)


def group_sites(
    sites: Sites,
    caches: Caches,
    by: str,
    module: NDArray[np.object_] | None = None,
    process: NDArray[np.int64] | None = None,
    context: NDArray[np.object_] | None = None,
) -> Groups:
    """Group the allocation sites by cache and `by` (a key of KEYS); ValueError for another.

    `module` (see `modules`), `process`, `context` (contexts.py): of each site, shape (s,); needed where `by`
    names them.
    """
    if by not in KEYS:
        raise ValueError(f"by is one of {', '.join(KEYS)}, not {by!r}")
    alloc = np.flatnonzero(~sites.free)
    columns = {
        "cache": caches.of_site,
        "call_site": sites["call_site"],
        "stack_id": shared_stacks(sites, caches.of_site) if by == "stack" else sites["stack_id"],
        "module": module if module is not None else np.full(len(sites), "", object),
        "process": process if process is not None else np.full(len(sites), -1, np.int64),
        "context": context if context is not None else np.full(len(sites), "", object),
    }
    keys = ["cache", *KEYS[by]]
    grouped = pd.DataFrame(columns).loc[alloc].groupby(keys, sort=True)
    of_site = np.full(len(sites), -1, np.intp)
    of_site[alloc] = grouped.ngroup().to_numpy()
    first = grouped.head(1).sort_values(keys)

    def of_group(name: str, otherwise: object) -> NDArray[Any]:
        column: NDArray[Any] = first[name].to_numpy()
        return column if name in keys else np.full_like(column, otherwise)

    return Groups(
        of_site,
        first["cache"].to_numpy(),
        of_group("call_site", 0),
        of_group("stack_id", -1),
        of_group("module", None),
        of_group("process", -1),
    )


def modules(sites: Sites, stacks: Stacks, symbols: Symbols) -> NDArray[np.object_]:
    """The module of each site, shape (s,): that of the innermost frame that is in a module, else "".

    A module allocates through helpers of the kernel, so the first module up the stack is responsible.
    Without a stack it is the module of the call site; where stacks are sampled, it is that of one of the call
    site's stacks.
    """
    known: dict[tuple[int, int], str] = {}
    sampled = {
        at: each
        for at, each in zip(sites["call_site"].tolist(), sites["stack_id"].tolist(), strict=True)
        if each >= 0
    }
    found = np.full(len(sites), "", object)
    keys = zip(sites["stack_id"].tolist(), sites["call_site"].tolist(), strict=True)
    for site, key in enumerate(keys):
        if key not in known:
            stack_id = sampled.get(key[1], -1) if key[0] == STACK_NOT_TAKEN else key[0]
            frames = list(stacks.frames(stack_id)) or [key[1]]
            known[key] = next(filter(None, map(symbols.module, frames)), "")
        found[site] = known[key]
    return found
