# SPDX-License-Identifier: Apache-2.0
"""Writes traces from lists of events, for tests of the reader and the analysis.

It uses only pyarrow, so that the reader is tested against the format and not against our own writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slabtrace.analysis.names.sites import Sites
from slabtrace.trace.files.place import Place
from slabtrace.trace.format import schema
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.schema import Kind
from slabtrace.trace.manifest import Manifest

START = 1_000_000_000  # ns: start of the recordings made here
SITE_FIELDS = [name for name in schema.SITES.names if name != "site"]


@dataclass(frozen=True)
class Event:
    """One event as a test writes it: small numbers, times since START."""

    ts: int
    ptr: int
    kind: int = Kind.KMALLOC
    call_site: int = 0x100
    cache: int = 0xC0
    bytes_req: int = 50
    bytes_alloc: int = 64
    tid: int = 7
    cpu: int = 0
    stack_id: int = -1
    flags: int = 0
    gfp_flags: int = 0
    node: int = -1

    @property
    def is_free(self) -> bool:
        return bool(self.kind & schema.FREE_BIT)


def alloc(ts: int, ptr: int, **fields: Any) -> Event:
    return Event(ts, ptr, **fields)


def free(ts: int, ptr: int, **fields: Any) -> Event:
    return Event(
        ts, ptr, **{"kind": Kind.KFREE, "call_site": 0x200, "bytes_req": 0, "bytes_alloc": 0, **fields}
    )


def page_end(ts: int, ptr: int, size: int) -> Event:
    return Event(ts, ptr, Kind.PAGE_END, call_site=0, bytes_req=0, bytes_alloc=size)


def intern(events: Sequence[Event]) -> tuple[EventBatch, dict[str, np.ndarray]]:
    """The events as a batch, in the given order, and the columns of their sites."""
    numbers: dict[tuple[int, ...], int] = {}
    site = [numbers.setdefault(tuple(int(getattr(e, f)) for f in SITE_FIELDS), len(numbers)) for e in events]
    columns = list(zip(*numbers, strict=True)) if numbers else [()] * len(SITE_FIELDS)
    sites = {
        name: np.array(column, schema.SITES.field(name).type.to_pandas_dtype())
        for name, column in zip(SITE_FIELDS, columns, strict=True)
    }
    batch = EventBatch(
        np.array([START + e.ts for e in events], np.int64),
        np.array([e.ptr for e in events], np.uint64),
        np.array(site, np.uint32),
        np.array([e.tid for e in events], np.uint32),
        np.array([e.cpu for e in events], np.uint16),
    )
    return batch, sites


def sites_of(columns: dict[str, np.ndarray]) -> Sites:
    sites = Sites()
    sites.extend(columns)
    return sites


def write_trace(
    folder: Path,
    events: Sequence[Event],
    tables: dict[str, list[dict[str, Any]]] | None = None,
    batch_events: int = 1000,
    segment_batches: int = 1000,
    manifest: Manifest | None = None,
    seconds: float = 1.0,
) -> Path:
    """Write a complete trace of `events` (in time order) that lasts `seconds`; returns its folder.

    `tables`: rows of side tables by name; sites.arrow is made from the events.
    """
    batch, sites = intern(events)
    (folder / schema.EVENTS_DIR).mkdir(parents=True)
    per_segment = batch_events * segment_batches
    starts = range(0, max(len(events), 1), per_segment)
    for number, start in enumerate(starts):
        segment = batch.take(slice(start, start + per_segment))
        path = folder / schema.EVENTS_DIR / f"{number:05d}.arrow"
        write_table(path, events_table(segment), batch_events)
    site = np.arange(len(sites["kind"]), dtype=np.uint32)
    write_table(folder / "sites.arrow", pa.table([site, *sites.values()], schema=schema.SITES))
    for name, table_schema in schema.SIDE_TABLES.items():
        if name != "sites":
            rows = (tables or {}).get(name, [])
            write_table(folder / f"{name}.arrow", pa.Table.from_pylist(rows, table_schema))
    manifest = manifest or Manifest(status="complete")
    manifest.started_ns, manifest.ended_ns = START, START + int(seconds * 1e9)
    manifest.totals.events, manifest.totals.segments = len(events), len(starts)
    manifest.save(Place(folder))
    return folder


def events_table(batch: EventBatch) -> pa.Table:
    """The table in the current format: ts_ns = ts_high * 65536 + ts_low."""
    return pa.table([*np.divmod(batch.ts_ns, 65536), *batch[1:]], schema=schema.EVENTS)


def write_table(path: Path, table: pa.Table, batch_rows: int = 1000) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=batch_rows)
