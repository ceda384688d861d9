# SPDX-License-Identifier: Apache-2.0
"""Allocation sites put together: by cache and stack, by cache and call site, or by cache alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.cache_names import Caches
from slabtrace.analysis.sites import Sites

KEYS = {"stack": ["call_site", "stack_id"], "call_site": ["call_site"], "cache": []}


@dataclass
class Groups:
    """g groups of allocation sites.

    `of_site`: the group of each site, -1 for sites of frees, shape (s,).  `cache` (a row of
    Caches), `call_site` (0 where not told apart), `stack_id` (-1 where not): shape (g,).
    """

    of_site: NDArray[np.intp]
    cache: NDArray[np.intp]
    call_site: NDArray[np.uint64]
    stack_id: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.cache)


def group_sites(sites: Sites, caches: Caches, by: str) -> Groups:
    """Group the allocation sites by cache and `by` (a key of KEYS); ValueError for another."""
    if by not in KEYS:
        raise ValueError(f"by is one of {', '.join(KEYS)}, not {by!r}")
    alloc = np.flatnonzero(~sites.free)
    keys = pd.DataFrame(
        {"cache": caches.of_site, "call_site": sites["call_site"], "stack_id": sites["stack_id"]}
    )
    grouped = keys.loc[alloc].groupby(["cache", *KEYS[by]], sort=True)
    of_site = np.full(len(sites), -1, np.intp)
    of_site[alloc] = grouped.ngroup().to_numpy()
    first = grouped.head(1).sort_values(["cache", *KEYS[by]])
    return Groups(
        of_site,
        first["cache"].to_numpy(),
        first["call_site"].to_numpy() if "call_site" in KEYS[by] else np.zeros(len(first), np.uint64),
        first["stack_id"].to_numpy() if "stack_id" in KEYS[by] else np.full(len(first), -1, np.int32),
    )
