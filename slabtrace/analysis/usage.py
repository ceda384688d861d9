# SPDX-License-Identifier: Apache-2.0
"""Per-cache usage over time: what was traced, on top of slabinfo's count at the start."""

from __future__ import annotations

import numpy as np
import pandas as pd

from slabtrace.analysis.cache_names import Caches
from slabtrace.analysis.slabinfo import Samples
from slabtrace.analysis.timeline import Timeline

COLUMNS = ("ts_ns", "cache", "objects", "bytes", "allocs_per_s", "frees_per_s", "num_objs")


def usage(timeline: Timeline, caches: Caches, slabinfo: dict[str, Samples], started_ns: int) -> pd.DataFrame:
    """Rows (cache, bucket) for every cache with a traced event, by cache and time.

    ts_ns: the bucket's end since the recording's start; objects, bytes: in use at that time, the
    first slabinfo sample (active_objs, 0 if the cache has none) plus what was traced since;
    allocs_per_s, frees_per_s: mean rates within the bucket; num_objs: what the cache's slabs have
    room for by the last slabinfo sample, NaN without one.
    """
    ends = timeline.edges - started_ns
    seconds = np.diff(ends, prepend=0) / 1e9
    busy = np.flatnonzero((timeline.allocs + timeline.frees).any(axis=0))
    parts = []
    for cache in busy.tolist():
        samples = slabinfo.get(caches.names[cache])
        objects = samples.active_objs[0] if samples else 0
        size = samples.objsize[0] if samples else 0
        parts.append(
            pd.DataFrame(
                {
                    "ts_ns": ends,
                    "cache": caches.names[cache],
                    "objects": objects + np.cumsum(timeline.objects[:, cache]),
                    "bytes": objects * size + np.cumsum(timeline.bytes[:, cache]),
                    "allocs_per_s": timeline.allocs[:, cache] / seconds,
                    "frees_per_s": timeline.frees[:, cache] / seconds,
                    "num_objs": samples.num_objs_at(timeline.edges).astype(float) if samples else np.nan,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
