# SPDX-License-Identifier: Apache-2.0
"""When each cache held most, and which call sites held it then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from slabtrace.analysis.counting.timeline import Timeline
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.symbols import Symbols
from slabtrace.columns import PEAKS

COLUMNS = PEAKS.names
HOLDERS = 3


def peaks(timeline: Timeline, caches: Caches, symbols: Symbols) -> pd.DataFrame:
    """One row per cache that was allocated from, largest peak first.

    ts_ns: the end of the timeline's bucket at which most bytes were live of what was allocated
    while recording, since its start; objects, bytes: then; held_by: the HOLDERS call sites that held
    most of it, as dicts of call_site, symbol, objects, bytes.
    """
    mine = np.flatnonzero(timeline.call_site != 0)
    level, sizes, call_sites = timeline.levels(mine), timeline.size[mine], timeline.call_site[mine]
    rows = []
    found, begins = np.unique(timeline.cache[mine], return_index=True)  # ascending: those of one lie together
    for cache, begin, end in zip(found.tolist(), begins, [*begins[1:], len(mine)], strict=True):
        sorts = slice(begin, end)
        held = level[:, sorts] * sizes[sorts]
        at = int(held.sum(axis=1).argmax())
        holders = _holders(call_sites[sorts], level[at, sorts], held[at], symbols)
        objects, total = int(level[at, sorts].sum()), int(held[at].sum())
        rows.append((caches.names[cache], int(timeline.ends_ns[at]), objects, total, holders))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values("bytes", ascending=False, kind="stable").reset_index(drop=True)


def _holders(call_site: Any, objects: Any, held: Any, symbols: Symbols) -> list[dict[str, Any]]:
    """Call sites by bytes, those of several sizes put together."""
    sites, of_sort = np.unique(call_site, return_inverse=True)
    number, total = np.zeros(len(sites), np.int64), np.zeros(len(sites), np.int64)
    np.add.at(number, of_sort, objects)
    np.add.at(total, of_sort, held)
    most = [at for at in np.argsort(-total, kind="stable")[:HOLDERS].tolist() if number[at] > 0]
    return [
        {
            "call_site": int(sites[at]),
            "symbol": symbols.name(int(sites[at])),
            "objects": int(number[at]),
            "bytes": int(total[at]),
        }
        for at in most
    ]
