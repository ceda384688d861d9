# SPDX-License-Identifier: Apache-2.0
"""Events and lifetimes joined with their sites and tasks, as Arrow batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from slabtrace.analysis.names.cache_names import Caches
from slabtrace.analysis.names.sites import COLUMNS, Sites
from slabtrace.analysis.names.tasks import UNKNOWN_TGID, Tasks
from slabtrace.analysis.pairing.paired import How, Paired
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import SITES

WHOLE_EVENT = pa.schema(
    [
        ("ts_ns", pa.int64()),
        ("ptr", pa.uint64()),
        *(field for field in SITES if field.name != "site"),
        ("tid", pa.uint32()),
        ("tgid", pa.uint32()),  # 0 where tasks.arrow does not know the task
        ("cpu", pa.uint16()),
        ("cache_name", pa.string()),
    ]
)

LIFETIME = pa.schema(
    [
        ("ptr", pa.uint64()),
        ("cache_name", pa.string()),
        *(SITES.field(name) for name in ("cache", "call_site", "stack_id", "bytes_req", "bytes_alloc")),
        ("alloc_ts_ns", pa.int64()),
        ("free_ts_ns", pa.int64()),  # of an inferred free: its latest possible time
        ("alloc_cpu", pa.uint16()),
        ("free_cpu", pa.uint16()),
        ("alloc_tid", pa.uint32()),
        ("free_tid", pa.uint32()),
        ("free_call_site", pa.uint64()),  # 0 where the free is inferred
        ("free_kind", pa.uint8()),  # schema.Kind; 0 where the free is inferred
        ("how", pa.uint8()),  # pairing.paired.How
    ]
)


def whole_events(
    events: EventBatch, sites: Sites, caches: Caches, tasks: Tasks, columns: Sequence[str]
) -> pa.RecordBatch:
    """`events` joined with their sites and tasks: `columns` of WHOLE_EVENT."""
    made = {}
    for name in columns:
        if name in EventBatch._fields:
            made[name] = pa.array(getattr(events, name))
        elif name in COLUMNS:
            made[name] = pa.array(sites[name][events.site])
        elif name == "tgid":
            made[name] = _tgid(events, tasks)
        else:
            made[name] = _cache_names(caches, caches.of_site[events.site])
    return pa.record_batch(made, schema=pa.schema([WHOLE_EVENT.field(name) for name in columns]))


def lifetimes(paired: Paired, sites: Sites, caches: Caches) -> pa.RecordBatch:
    """The lifetimes completed in a chunk, as LIFETIME, without events recorded twice."""
    real = np.flatnonzero(paired.how != How.DUPLICATE)
    alloc, free = paired.events.take(paired.alloc[real]), paired.events.take(paired.end[real])
    how = paired.how[real]
    seen = how == How.FREED
    columns = [
        alloc.ptr,
        _cache_names(caches, caches.of_site[alloc.site]),
        *(sites[name][alloc.site] for name in ("cache", "call_site", "stack_id", "bytes_req", "bytes_alloc")),
        *(alloc.ts_ns, free.ts_ns, alloc.cpu, free.cpu, alloc.tid, free.tid),
        *(np.where(seen, sites[name][free.site], 0).astype(COLUMNS[name]) for name in ("call_site", "kind")),
        how,
    ]
    return pa.record_batch([pa.array(column) for column in columns], schema=LIFETIME)


def _tgid(events: EventBatch, tasks: Tasks) -> pa.Array:
    row = tasks.rows(events.tid, events.ts_ns)
    tgid = np.append(tasks.tgid, UNKNOWN_TGID)  # row -1: the last
    return pa.array(tgid[row])


def _cache_names(caches: Caches, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> pa.Array:
    return pa.array(caches.names, pa.string()).take(pa.array(rows))
