# SPDX-License-Identifier: Apache-2.0
"""Totals by call site or by cache, as `perf kmem stat` has them, but from paired events.

So a second free of an address does not count again as freed bytes or as ping-pong, and `frees` are those of
the objects that the row allocated, wherever they were freed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.by_site import Counts, by_group
from slabtrace.analysis.counting.summary import Summary
from slabtrace.analysis.grouping.groups import group_sites
from slabtrace.analysis.names.gfp import gfp_kinds
from slabtrace.analysis.names.symbols import Symbols
from slabtrace.columns import STAT

COLUMNS = STAT.names


def site_totals(summary: Summary) -> dict[str, Counts]:
    """What became of the allocations of each site: columns of STAT, shape (s,); 0 for sites of frees."""
    sites, counts, objects = summary.sites, summary.counts, summary.objects
    hits = np.where(sites.free, 0, objects.allocated)
    return {
        "hits": hits,
        "bytes_req": hits * sites["bytes_req"].astype(np.int64),
        "bytes_alloc": hits * sites["bytes_alloc"].astype(np.int64),
        "frees": hits - objects.held - counts.inferred,
        "inferred": counts.inferred,
        "outstanding": objects.held,
        "pingpong": counts.pingpong,
        "crossnode": counts.crossnode,
        **{name: np.where(kind, hits, 0) for name, kind in gfp_kinds(sites).items()},
    }


def stat(summary: Summary, symbols: Symbols, by: str) -> pd.DataFrame:
    """One row per call site or cache that allocated, most bytes_alloc first: COLUMNS.

    Raises ValueError for another `by`.
    """
    if by not in ("call_site", "cache"):
        raise ValueError(f"by is call_site or cache, not {by!r}")
    groups = group_sites(summary.sites, summary.caches, by)
    totals = site_totals(summary).items()
    frame = pd.DataFrame({name: by_group(groups.of_site, column, len(groups)) for name, column in totals})
    frame["cache"] = [summary.caches.names[row] for row in groups.cache.tolist()]
    frame["call_site"] = groups.call_site
    frame = _one_per_call_site(frame) if by == "call_site" else frame.assign(caches=1)
    frame["symbol"] = [symbols.name(each) if each else "" for each in frame["call_site"].tolist()]
    frame["frag"] = 1 - frame["bytes_req"] / frame["bytes_alloc"].clip(lower=1)
    frame["waste_bytes"] = frame["bytes_alloc"] - frame["bytes_req"]
    frame = frame[frame["hits"] > 0].sort_values(["bytes_alloc", "hits"], ascending=False, kind="stable")
    return frame[list(COLUMNS)].reset_index(drop=True)


def _one_per_call_site(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of one call site and several caches (a kmalloc of varying size) become one."""
    grouped = frame.sort_values("hits", ascending=False, kind="stable").groupby("call_site", sort=False)
    summed = grouped[[name for name in frame if name not in ("cache", "call_site")]].sum().reset_index()
    names = grouped.agg(cache=("cache", "first"), caches=("cache", "size")).reset_index()
    return summed.merge(names, on="call_site")
