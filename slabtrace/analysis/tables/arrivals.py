# SPDX-License-Identifier: Apache-2.0
"""When the outstanding objects were allocated: the rise that a sparkline shows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.summary import Lookup, Summary
from slabtrace.analysis.grouping.groups import group_sites
from slabtrace.analysis.grouping.sampled_stacks import shown_stacks
from slabtrace.columns import ARRIVALS

COLUMNS = ARRIVALS.names


def arrivals(summary: Summary, lookup: Lookup, length_ns: int, buckets: int) -> pd.DataFrame:
    """One row for each cache and stack with something outstanding: COLUMNS.

    objects has `buckets` + 1 numbers: at the start, and after each part of the recording (`length_ns`).
    """
    live = summary.live
    groups = group_sites(summary.sites, summary.caches, "stack")
    kept, member = np.unique(groups.of_site[live.site], return_inverse=True)
    width = max(length_ns, 1) / buckets
    bucket = np.clip((live.ts_ns - lookup.started_ns) / width, 0, buckets - 1).astype(np.intp)
    came = np.bincount(member.reshape(-1) * buckets + bucket, minlength=len(kept) * buckets)
    levels = np.zeros((len(kept), buckets + 1), np.int64)
    np.cumsum(came.reshape(len(kept), buckets), axis=1, out=levels[:, 1:])
    held = np.bincount(live.site, minlength=len(summary.sites))
    shown = shown_stacks(summary.sites, held, groups.of_site, groups.stack_id)
    frame = pd.DataFrame(
        {
            "cache": [summary.caches.names[row] for row in groups.cache[kept].tolist()],
            "call_site": groups.call_site[kept],
            "stack": [lookup.stacks.names(each) for each in shown.stack_id[kept].tolist()],
            "objects": levels.tolist(),
        }
    )
    return frame[list(COLUMNS)]
