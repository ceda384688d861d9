# SPDX-License-Identifier: Apache-2.0
"""One row per slab cache: what was traced in it beside what the kernel itself counted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.counting.summary import Summary
from slabtrace.analysis.names.cache_names import NO_CACHES
from slabtrace.analysis.names.slabinfo import Samples
from slabtrace.analysis.tables.stat import site_totals
from slabtrace.columns import CACHES

COLUMNS = CACHES.names


def cache_table(
    summary: Summary, peak: Counts, slabinfo: dict[str, Samples], reconciliation: pd.DataFrame
) -> pd.DataFrame:
    """Every cache of the trace and of slabinfo, most allocations first: COLUMNS.

    `peak`: the most objects outstanding at once, by row of summary.caches.  `reconciliation`: of the caches
    whose two counts can be compared (trust.reconcile).
    """
    caches, counts = summary.caches, summary.counts

    def summed(by_site: Counts) -> Counts:
        return by_group(caches.of_site, by_site, len(caches))

    totals = {name: summed(column) for name, column in site_totals(summary).items()}
    frame = pd.DataFrame(totals).rename(columns={"hits": "allocs"})
    frame["cache"], frame["aliases"] = caches.names, caches.aliases
    frame["object_size"], frame["size"] = caches.object_size, caches.size
    frame["old_frees"], frame["second_frees"] = summed(counts.old), summed(counts.second)
    frame["frees"] += frame["old_frees"]
    frame["peak_outstanding"] = peak
    frame["waste_bytes"] = frame["bytes_alloc"] - frame["bytes_req"]
    _reconcile(frame, slabinfo, reconciliation)
    frame = frame.merge(reconciliation[["cache", "slack", "explained", "why"]], on="cache", how="left")
    unused = frame["cache"].isin(NO_CACHES) & (frame["allocs"] + frame["frees"] == 0)
    frame = frame[~unused].sort_values(["allocs", "frees"], ascending=False, kind="stable")
    return frame[list(COLUMNS)].reset_index(drop=True)


def _reconcile(frame: pd.DataFrame, slabinfo: dict[str, Samples], reconciliation: pd.DataFrame) -> None:
    """Add the kernel's own counts; a cache that only slabinfo knows gets its size from there."""
    samples = [slabinfo.get(name) for name in frame["cache"]]
    start = [int(each.active_objs[0]) if each else None for each in samples]
    end = [int(each.active_objs[-1]) if each else None for each in samples]
    size = np.array([int(each.objsize[-1]) if each else 0 for each in samples], np.int64)
    frame["size"] = frame["size"].where(frame["size"] > 0, size)
    frame["slabinfo_start"], frame["slabinfo_end"] = pd.array(start, "Int64"), pd.array(end, "Int64")
    traced = frame["allocs"] - frame["frees"] - frame["inferred"]
    comparable = frame["cache"].isin(reconciliation["cache"])
    frame["unexplained"] = (frame["slabinfo_end"] - frame["slabinfo_start"] - traced).where(comparable)
