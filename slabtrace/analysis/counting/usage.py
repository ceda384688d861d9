# SPDX-License-Identifier: Apache-2.0
"""Usage over time: of each cache (added to slabinfo's first sample), of call sites, and of size classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.timeline import Timeline
from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.slabinfo import Samples
from slabtrace.analysis.names.symbols import Symbols
from slabtrace.columns import CALL_SITE_USAGE, SIZE_CLASSES, USAGE

COLUMNS = USAGE.names
CALL_SITE_COLUMNS = CALL_SITE_USAGE.names
SIZE_COLUMNS = SIZE_CLASSES.names
OTHERS = "(others)"
PAGE = 4096


def usage(
    timeline: Timeline, caches: Caches, slabinfo: dict[str, Samples], started_ns: int, page_size: int = PAGE
) -> pd.DataFrame:
    """Rows (cache, bucket) for every cache with a traced event, by cache and time: COLUMNS.

    The level begins at the first sample of slabinfo (0 where the cache has none).
    """
    changed = (timeline.came != 0).any(axis=0) | (timeline.went != 0).any(axis=0)
    busy, of_sort = np.unique(timeline.cache[changed], return_inverse=True)
    came, went = (_summed(table[:, changed], of_sort, len(busy)) for table in (timeline.came, timeline.went))
    change = (timeline.came - timeline.went)[:, changed] * timeline.size[changed]
    names = [caches.names[row] for row in busy.tolist()]
    samples = [slabinfo.get(name) for name in names]
    objects = np.array([int(each.active_objs[0]) if each else 0 for each in samples], np.int64)
    size = np.array([int(each.objsize[0]) if each else 0 for each in samples], np.int64)
    buckets, seconds = len(timeline.ends_ns), np.diff(timeline.ends_ns, prepend=0)[:, None] / 1e9
    tables = (
        objects + np.cumsum(came - went, axis=0),
        objects * size + np.cumsum(_summed(change, of_sort, len(busy)), axis=0),
        *(came, went, came / seconds, went / seconds),
        *_sampled(samples, started_ns + timeline.ends_ns, page_size),
    )
    columns = (
        np.tile(timeline.ends_ns, len(busy)),
        np.repeat(np.array(names, object), buckets),
        *(table.T.ravel() for table in tables),
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def call_site_usage(timeline: Timeline, symbols: Symbols, top: int) -> pd.DataFrame:
    """Rows (call site, bucket): CALL_SITE_COLUMNS.

    Only the `top` call sites whose objects took most bytes at once, most first; then all others together.
    """
    mine = np.flatnonzero(timeline.call_site != 0)
    sites, of_sort = np.unique(timeline.call_site[mine], return_inverse=True)
    level = timeline.levels(mine)
    objects = _summed(level, of_sort, len(sites))
    held = _summed(level * timeline.size[mine], of_sort, len(sites))
    order = np.argsort(-held.max(axis=0, initial=0), kind="stable")
    shown, rest = order[:top], order[top:]
    parts = [
        _level(timeline, objects[:, at], held[:, at], int(sites[at]), symbols.name(int(sites[at])))
        for at in shown.tolist()
    ]
    if len(rest):
        parts.append(_level(timeline, objects[:, rest].sum(axis=1), held[:, rest].sum(axis=1), 0, OTHERS))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(CALL_SITE_COLUMNS))


def size_classes(timeline: Timeline) -> pd.DataFrame:
    """Rows (size class, bucket), smallest class first: SIZE_COLUMNS."""
    known = np.flatnonzero(timeline.call_site != 0)
    exponent = np.ceil(np.log2(np.maximum(timeline.size[known], 8))).astype(np.int64)
    classes, of_sort = np.unique(exponent, return_inverse=True)
    came, went, level = timeline.came[:, known], timeline.went[:, known], timeline.levels(known)
    held = _summed(level * timeline.size[known], of_sort, len(classes))
    allocs, frees, objects = (_summed(table, of_sort, len(classes)) for table in (came, went, level))
    columns = (
        np.tile(timeline.ends_ns, len(classes)),
        np.repeat(np.int64(1) << classes, len(timeline.ends_ns)),
        allocs.T.ravel(),
        frees.T.ravel(),
        objects.T.ravel(),
        held.T.ravel(),
    )
    return pd.DataFrame(dict(zip(SIZE_COLUMNS, columns, strict=True)))


def _sampled(samples: list[Samples | None], at_ns: NDArray[np.int64], page_size: int) -> list[Any]:
    """active_objs, num_objs and reserved of each cache at these times, each (b, n)."""
    found = [np.full((len(at_ns), len(samples)), np.nan) for _ in range(3)]
    for cache, each in enumerate(samples):
        if each is not None:
            row = each.rows_at(at_ns)
            for table, column in zip(
                found, (each.active_objs, each.num_objs, each.pages * page_size), strict=True
            ):
                table[:, cache] = column[row]
    return found


def _level(timeline: Timeline, objects: Any, held: Any, call_site: int, symbol: str) -> pd.DataFrame:
    """The rows of one call site."""
    columns = (timeline.ends_ns, np.uint64(call_site), symbol, objects, held)
    return pd.DataFrame(dict(zip(CALL_SITE_COLUMNS, columns, strict=True)))


def _summed(table: NDArray[np.int64], group: NDArray[np.intp], groups: int) -> NDArray[np.int64]:
    """Columns of `table` (b, k) summed by `group` (k,): (b, groups), exact."""
    total = np.zeros((groups, len(table)), np.int64)
    np.add.at(total, group.reshape(-1), table.T)
    return total.T
