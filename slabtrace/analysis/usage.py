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
    allocs_per_s, frees_per_s (seen or inferred): mean rates within the bucket; num_objs: what the
    cache's slabs have room for by the last slabinfo sample, NaN without one.
    """
    busy = np.unique(timeline.cache[(timeline.came + timeline.went).any(axis=0)])
    parts = [_of_cache(timeline, row, caches.names[row], slabinfo, started_ns) for row in busy.tolist()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def _of_cache(
    timeline: Timeline, cache: int, name: str, slabinfo: dict[str, Samples], started_ns: int
) -> pd.DataFrame:
    """The rows of one cache."""
    sorts = np.flatnonzero(timeline.cache == cache)
    came, went = timeline.came[:, sorts], timeline.went[:, sorts]
    change = came - went
    seconds = np.diff(timeline.ends_ns, prepend=0) / 1e9
    samples = slabinfo.get(name)
    objects = int(samples.active_objs[0]) if samples else 0
    size = int(samples.objsize[0]) if samples else 0
    room = samples.num_objs_at(started_ns + timeline.ends_ns).astype(float) if samples else np.nan
    columns = (
        timeline.ends_ns,
        name,
        objects + np.cumsum(change.sum(axis=1)),
        objects * size + np.cumsum(change @ timeline.size[sorts]),
        came.sum(axis=1) / seconds,
        went.sum(axis=1) / seconds,
        room,
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
