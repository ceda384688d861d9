# SPDX-License-Identifier: Apache-2.0
"""What each stack allocated, what of it was freed and what is outstanding: for flame graphs and profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.by_site import by_group
from slabtrace.analysis.counting.summary import Lookup, Summary
from slabtrace.analysis.grouping.groups import Groups, group_sites
from slabtrace.analysis.grouping.sampled_stacks import spread
from slabtrace.analysis.tables.stat import site_totals
from slabtrace.columns import STACK_TOTALS
from slabtrace.trace.format.schema import STACK_NOT_TAKEN

COLUMNS = STACK_TOTALS.names
COUNTED = COLUMNS[3:]


def _share_out(frame: pd.DataFrame, groups: Groups) -> None:
    """Give objects without a sampled stack to the stacks of their call site and cache, in proportion."""
    numbers = frame[list(COUNTED)].to_numpy(np.int64, copy=True)
    sampled = np.flatnonzero(groups.stack_id >= 0)
    places = pd.DataFrame({"cache": groups.cache[sampled], "call_site": groups.call_site[sampled]})
    of_place = places.groupby(["cache", "call_site"]).indices
    for row in np.flatnonzero(groups.stack_id == STACK_NOT_TAKEN).tolist():
        found = of_place.get((groups.cache[row], groups.call_site[row]))
        if found is not None:
            same = sampled[found]
            parts = spread(numbers[row, 2:], numbers[same, 2:])  # freed and outstanding
            allocated = parts[:, :2] + parts[:, 2:]
            allocated[0] += numbers[row, :2] - allocated.sum(axis=0)
            numbers[same] += np.hstack([allocated, parts])
            numbers[row] = 0
    frame[list(COUNTED)] = numbers


def stack_totals(summary: Summary, lookup: Lookup) -> pd.DataFrame:
    """One row per cache and stack that allocated, most allocated_bytes first: COLUMNS.

    Sums over all rows are those of `stat`.  Where only some events of a call site have a stack, the others
    are distributed over these stacks in proportion (sampled_stacks.py).
    """
    sites = summary.sites
    groups = group_sites(sites, summary.caches, "own stack")
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
    _share_out(frame, groups)
    ids, call_sites = groups.stack_id.tolist(), groups.call_site.tolist()
    frame["addresses"] = [
        list(lookup.stacks.frames(stack_id)) or [call_site]
        for stack_id, call_site in zip(ids, call_sites, strict=True)
    ]
    frame["stack"] = [[lookup.symbols.name(each) for each in stack] for stack in frame["addresses"]]
    frame = frame[frame["allocated_objects"] > 0]
    frame = frame.sort_values(["allocated_bytes", "allocated_objects"], ascending=False, kind="stable")
    return frame[list(COLUMNS)].reset_index(drop=True)
