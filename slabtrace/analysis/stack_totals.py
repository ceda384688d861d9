# SPDX-License-Identifier: Apache-2.0
"""What each stack allocated, freed again and left: the table that flame graphs and profiles are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slabtrace.analysis.counts import by_group
from slabtrace.analysis.groups import group_sites
from slabtrace.analysis.stat import site_totals
from slabtrace.analysis.summary import Lookup, Summary

COUNTED = (
    "allocated_objects", "allocated_bytes", "freed_objects", "freed_bytes", "outstanding_objects",
    "outstanding_bytes",
)  # fmt: skip
COLUMNS = ("cache", "stack", "addresses", *COUNTED)


def stack_totals(summary: Summary, lookup: Lookup) -> pd.DataFrame:
    """One row per cache and stack that allocated, most allocated_bytes first.

    stack: symbols (list of str), innermost first, the call site where no stack was recorded;
    addresses: theirs (list of int).  Bytes are bytes_alloc.  allocated is what `stat` calls hits,
    freed (seen, or missed but proved) and outstanding are what became of these; so their sums over
    all rows are those of `stat`.
    """
    sites = summary.sites
    groups = group_sites(sites, summary.caches, "stack")
    totals = site_totals(summary)
    size = sites["bytes_alloc"].astype(np.int64)
    by_site = {
        "allocated": totals["hits"],
        "freed": totals["frees"] + totals["inferred"],
        "outstanding": totals["outstanding"],
    }
    frame = pd.DataFrame(
        {
            f"{name}_{unit}": by_group(groups.of_site, values * scale, len(groups))
            for name, values in by_site.items()
            for unit, scale in (("objects", np.int64(1)), ("bytes", size))
        }
    )
    frame["cache"] = [summary.caches.names[row] for row in groups.cache.tolist()]
    ids, call_sites = groups.stack_id.tolist(), groups.call_site.tolist()
    frame["addresses"] = [
        list(lookup.stacks.frames(stack_id)) or [call_site]
        for stack_id, call_site in zip(ids, call_sites, strict=True)
    ]
    frame["stack"] = [[lookup.symbols.name(each) for each in stack] for stack in frame["addresses"]]
    frame = frame[frame["allocated_objects"] > 0]
    frame = frame.sort_values(["allocated_bytes", "allocated_objects"], ascending=False, kind="stable")
    return frame[list(COLUMNS)].reset_index(drop=True)
