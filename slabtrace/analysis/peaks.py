# SPDX-License-Identifier: Apache-2.0
"""When each cache held most, and which call sites held it then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from slabtrace.analysis.cache_names import Caches
from slabtrace.analysis.symbols import Symbols
from slabtrace.analysis.timeline import Timeline

COLUMNS = ("cache", "ts_ns", "objects", "bytes", "held_by")
HOLDERS = 3


def peaks(timeline: Timeline, caches: Caches, symbols: Symbols) -> pd.DataFrame:
    """One row per cache that was allocated from, largest peak first.

    ts_ns: the end of the timeline's bucket at which most bytes were live of what was allocated
    while recording, since its start; objects, bytes: then; held_by: the HOLDERS call sites that held
    most of it, as dicts of call_site, symbol, objects, bytes.
    """
    mine = np.flatnonzero(timeline.call_site != 0)
    level = timeline.levels(mine)
    rows = []
    for cache in np.unique(timeline.cache[mine]).tolist():
        sorts = np.flatnonzero(timeline.cache[mine] == cache)
        size, call_site = timeline.size[mine][sorts], timeline.call_site[mine][sorts]
        held = level[:, sorts] * size
        at = int(held.sum(axis=1).argmax())
        holders = _holders(call_site, level[at, sorts], held[at], symbols)
        objects, total = int(level[at, sorts].sum()), int(held[at].sum())
        rows.append((caches.names[cache], int(timeline.ends_ns[at]), objects, total, holders))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values("bytes", ascending=False, kind="stable").reset_index(drop=True)


def _holders(call_site: Any, objects: Any, held: Any, symbols: Symbols) -> list[dict[str, Any]]:
    """Call sites by bytes, those of several sizes put together."""
    by_site = pd.DataFrame({"call_site": call_site, "objects": objects, "bytes": held}).groupby("call_site")
    most = by_site.sum().sort_values("bytes", ascending=False, kind="stable").head(HOLDERS).reset_index()
    return [
        {
            "call_site": int(site),
            "symbol": symbols.name(int(site)),
            "objects": int(number),
            "bytes": int(size),
        }
        for site, number, size in most[["call_site", "objects", "bytes"]].itertuples(index=False)
        if number > 0
    ]
