# SPDX-License-Identifier: Apache-2.0
"""Usage over time: of each cache (added to slabinfo's first sample), of call sites, and of size classes."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slabtrace.analysis.counting.by_site import Counts
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
Number = TypeVar("Number", np.int64, np.float64)


def usage(
    timeline: Timeline,
    caches: Caches,
    slabinfo: dict[str, Samples],
    started_ns: int,
    page_size: int = PAGE,
    parked: Counts | None = None,
) -> pd.DataFrame:
    """Rows (cache, bucket) for every cache with a traced event, by cache and time: COLUMNS.

    The level begins at the first sample of slabinfo (0 where the cache has none, or where the recording has
    only some of its objects).  That sample counts parked objects as in use, `parked` at most (by cache; None:
    0): where more would be in use than the slabs have room for, the level begins so much lower.
    """
    changed = np.flatnonzero((timeline.came != 0).any(axis=0) | (timeline.went != 0).any(axis=0))
    busy, of_sort = np.unique(timeline.cache[changed], return_inverse=True)

    def of_cache(table: NDArray[Number]) -> NDArray[Number]:
        return _summed(table, of_sort, len(busy))

    came, went, size = timeline.came[:, changed], timeline.went[:, changed], timeline.size[changed]
    change = np.cumsum(came - went, axis=0)
    maybe_freed, weight = timeline.maybe_freed(changed)
    names = [caches.names[row] for row in busy.tolist()]
    samples = [slabinfo.get(name) for name in names]
    most = np.zeros(len(busy), np.int64) if parked is None else parked[busy]
    least = of_cache(change - maybe_freed)
    first = _first_counts(samples, timeline, started_ns, least, most) * timeline.old_frees
    first_bytes = first * np.array([int(each.objsize[0]) if each else 0 for each in samples], np.int64)
    allocs, frees, seconds = of_cache(came), of_cache(went), np.diff(timeline.ends_ns, prepend=0) / 1e9
    expected = change - maybe_freed + weight
    tables = (
        first + of_cache(change),
        first_bytes + of_cache(change * size),
        *(allocs, frees, allocs / seconds[:, None], frees / seconds[:, None]),
        *_sampled(samples, started_ns + timeline.ends_ns, page_size),
        _room(samples, slabinfo, started_ns + timeline.ends_ns),
        of_cache(maybe_freed),
        first + of_cache(expected),
        first_bytes + of_cache(expected * size),
    )
    columns = (
        np.tile(timeline.ends_ns, len(busy)),
        np.repeat(np.array(names, object), len(timeline.ends_ns)),
        *(table.T.ravel() for table in tables),
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def call_site_usage(timeline: Timeline, symbols: Symbols, top: int) -> pd.DataFrame:
    """Rows (call site, bucket): CALL_SITE_COLUMNS.

    Only the `top` call sites whose objects took most bytes at once, most first; then all others together.
    """
    mine = np.flatnonzero(timeline.call_site != 0)
    sites, of_sort = np.unique(timeline.call_site[mine], return_inverse=True)
    level, (open_, weight), size = timeline.levels(mine), timeline.maybe_freed(mine), timeline.size[mine]
    each = (level, level * size, (level - open_ + weight) * size)
    objects, held, expected = (_summed(table, of_sort, len(sites)) for table in each)
    order = np.argsort(-expected.max(axis=0, initial=0), kind="stable")
    shown = [(order[at : at + 1], int(sites[order[at]])) for at in range(min(top, len(order)))]
    shown += [(order[top:], 0)] if len(order) > top else []
    parts = [
        pd.DataFrame(
            {
                "ts_ns": timeline.ends_ns,
                "call_site": np.uint64(site),
                "symbol": symbols.name(site) if site else OTHERS,
                "objects": objects[:, at].sum(axis=1),
                "bytes": held[:, at].sum(axis=1),
                "bytes_expected": expected[:, at].sum(axis=1),
            }
        )
        for at, site in shown
    ]
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


def _first_counts(
    samples: list[Samples | None], timeline: Timeline, started_ns: int, least: Counts, parked: Counts
) -> Counts:
    """What the level of each cache begins at: the first count, less objects that must have been parked.

    `least`, shape (b, n): the change since the start, at least.
    """
    first = np.zeros(len(samples), np.int64)
    before = np.concatenate([np.zeros((1, len(samples)), np.int64), least])
    for cache, each in enumerate(samples):
        if each is not None:
            bucket = np.searchsorted(timeline.ends_ns, each.ts_ns - started_ns).clip(0, len(least) - 1)
            level = each.active_objs[0] + np.minimum(before[bucket, cache], before[bucket + 1, cache])
            above = int((level - each.num_objs).max())
            first[cache] = each.active_objs[0] - min(max(above, 0), parked[cache], each.active_objs[0])
    return first


def _room(
    samples: list[Samples | None], slabinfo: dict[str, Samples], at_ns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """num_objs of each cache at these times; between two samples the larger of both: (b, n)."""
    every = np.unique(np.concatenate([np.empty(0, np.int64), *(each.ts_ns for each in slabinfo.values())]))
    following = every[np.searchsorted(every, at_ns).clip(0, max(len(every) - 1, 0))] if len(every) else at_ns
    room = np.full((len(at_ns), len(samples)), np.nan)
    for cache, each in enumerate(samples):
        if each is not None:
            around = (each.num_objs[each.rows_at(when)] for when in (at_ns, following))
            room[:, cache] = np.maximum(*around)
    return room


def _summed(table: NDArray[Number], group: NDArray[np.intp], groups: int) -> NDArray[Number]:
    """Columns of `table` (b, k) summed by `group` (k,): (b, groups), of integers exact."""
    total = np.zeros((groups, len(table)), table.dtype)
    np.add.at(total, group.reshape(-1), table.T)
    return total.T
