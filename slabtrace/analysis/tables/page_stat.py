# SPDX-License-Identifier: Apache-2.0
"""Pages by call site, order, migrate type and gfp flags, as `perf kmem stat --page` has them.

The migrate type is what the gfp flags ask for (include/linux/gfp.h: gfp_migratetype).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.by_site import by_group
from slabtrace.analysis.counting.summary import Summary
from slabtrace.analysis.names.gfp import gfp_name
from slabtrace.analysis.names.symbols import Symbols
from slabtrace.columns import PAGE_STAT
from slabtrace.trace.format.schema import Kind

COLUMNS = PAGE_STAT.names
MIGRATE_TYPES = ("Unmovable", "Movable", "Reclaimable", "Movable, Reclaimable")
_MOVABLE_SHIFT = 3  # ___GFP_MOVABLE is 0x8, ___GFP_RECLAIMABLE 0x10


def page_stat(summary: Summary, symbols: Symbols) -> pd.DataFrame:
    """Most bytes_alloc first: COLUMNS."""
    sites, objects = summary.sites, summary.objects
    some = np.flatnonzero((sites["kind"] == np.uint8(Kind.PAGES_ALLOC)) & (objects.allocated > 0))
    gfp = sites["gfp_flags"][some].astype(np.int64)
    keys = np.stack([sites["call_site"][some].view(np.int64), sites.order[some], gfp])
    groups, of_site = np.unique(keys, axis=1, return_inverse=True)
    of_site = of_site.reshape(-1)
    pages, held = (
        by_group(of_site, each[some], groups.shape[1]) for each in (objects.allocated, objects.held)
    )
    inferred = by_group(of_site, summary.counts.inferred[some], groups.shape[1])
    size = int(sites["bytes_alloc"][some].max(initial=1))
    call_site, order, flags = groups
    frame = pd.DataFrame(
        {
            "call_site": call_site.view(np.uint64),
            "symbol": [symbols.name(each) if each else "" for each in call_site.view(np.uint64).tolist()],
            "order": order,
            "migrate_type": [MIGRATE_TYPES[each >> _MOVABLE_SHIFT & 3] for each in flags.tolist()],
            "gfp": [gfp_name(each) for each in flags.tolist()],
            "hits": pages >> order,
            "bytes_alloc": pages * size,
            "pages": pages,
            "frees": pages - held - inferred,
            "inferred": inferred,
            "outstanding": held,
        },
        columns=list(COLUMNS),
    )
    return frame.sort_values(["bytes_alloc", "hits"], ascending=False, kind="stable").reset_index(drop=True)
