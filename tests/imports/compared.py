# SPDX-License-Identifier: Apache-2.0
"""Two recordings of one run, event by event and object by object."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from slabtrace.api import Trace
from slabtrace.trace.format.schema import FREE_BIT, Kind

NEAR_NS = 2_000_000  # two tracers read the clock at one event at times so far apart, at most
EDGE_NS = 200_000_000  # at either end, where one may not have been ready
SHARED = {
    Kind.KMALLOC: "kmalloc",
    Kind.CACHE_ALLOC: "kmem_cache_alloc",
    Kind.KFREE: "kfree",
    Kind.CACHE_FREE: "kmem_cache_free",
}


@dataclass
class Compared:
    """`both`: events in both recordings, by tracepoint; `own`, `other`: in one alone.

    `outstanding`: objects outstanding in both; `own_outstanding`: in slabtrace's alone; `freed`: outstanding
    in the other alone, by the kind of free that slabtrace saw ("inferred": none).
    """

    both: dict[str, int] = field(default_factory=dict)
    own: dict[str, int] = field(default_factory=dict)
    other: dict[str, int] = field(default_factory=dict)
    outstanding: int = 0
    own_outstanding: int = 0
    freed: dict[str, int] = field(default_factory=dict)


def events_of(trace: Trace) -> pd.DataFrame:
    """ts_ns, ptr, kind and tid of all events."""
    batches = list(trace.events(["ts_ns", "ptr", "kind", "tid"]))
    columns = {
        name: np.concatenate([batch.column(name).to_numpy() for batch in batches])
        for name in batches[0].schema.names
    }
    return pd.DataFrame(columns)


def compare(own: Trace, other: Trace) -> Compared:
    """What slabtrace's recording `own` and another tool's have in common, in the time of both."""
    result = Compared()
    a, b = events_of(own), events_of(other)
    begin = max(a.ts_ns.min(), b.ts_ns.min()) + EDGE_NS
    end = min(a.ts_ns.max(), b.ts_ns.max()) - EDGE_NS
    a, b = (each[(each.ts_ns >= begin) & (each.ts_ns < end)] for each in (a, b))
    for kind, name in SHARED.items():
        mine, theirs = a[a.kind == int(kind)], b[b.kind == int(kind)]
        result.both[name], result.own[name], result.other[name] = _matched(mine, theirs)
    _objects(a, b, result)
    return result


def _matched(mine: pd.DataFrame, theirs: pd.DataFrame) -> tuple[int, int, int]:
    """(events in both, in the first alone, in the second alone): same address and nearly the same time."""
    left = mine.sort_values("ts_ns").assign(mine=np.arange(len(mine)))
    right = theirs.sort_values("ts_ns").assign(theirs=np.arange(len(theirs)))
    found = pd.merge_asof(left, right, on="ts_ns", by="ptr", direction="nearest", tolerance=NEAR_NS)
    both = int(found.theirs.nunique())
    return both, len(mine) - both, len(theirs) - both


def _objects(a: pd.DataFrame, b: pd.DataFrame, result: Compared) -> None:
    """Objects whose last event is an allocation that both saw."""
    last_a, last_b = (each.sort_values("ts_ns").groupby("ptr").last() for each in (a, b))
    live_a = last_a[(last_a.kind & FREE_BIT) == 0]
    live_b = last_b[(last_b.kind & FREE_BIT) == 0]
    result.outstanding = len(live_a.index.intersection(live_b.index))
    result.own_outstanding = len(live_a.index.difference(live_b.index))
    ended = last_a.reindex(live_b.index.difference(live_a.index))
    for kind, count in ended.kind.fillna(0).astype(int).value_counts().items():
        result.freed[Kind(kind).name if kind in set(Kind) else "no event of slabtrace's"] = int(count)
