# SPDX-License-Identifier: Apache-2.0
"""Writes the folder carried/ of a part of a series: all of it, or, until it is whole, nothing.

Who allocated what is carried, and what was lost, is found in the part that has ended; which objects
are outstanding there is the analysis' to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slabtrace.trace.files.place import Place
from slabtrace.trace.format import schema
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.event_columns import stored
from slabtrace.trace.reading.reader import TraceReader
from slabtrace.trace.writing.writer import TableWriter, WriteError, record_batch

BATCH = 1 << 17


def write_carried(
    ended: TraceReader, following: Path, objects: EventBatch, tasks: list[Any], missed: Mapping[int, int]
) -> None:
    """Carry `objects`, outstanding at the end of `ended`, into the trace `following`.

    `objects`: their allocations, in time order; `tasks`: columns of schema.TASKS, who made them;
    `missed`: frees proved though not seen, by site of the allocation.  Raises WriteError.
    """
    columns: dict[str, list[Any]] = {
        "tasks": tasks,
        "losses": _summed(ended.table("losses")),
        "missed": [list(missed.keys()), list(missed.values())],
    }
    beside = f"{schema.CARRIED_DIR}.new"
    try:
        part = Place(following)
        part.make(beside)
        parts = (objects.take(slice(at, at + BATCH)) for at in range(0, objects.size, BATCH))
        _write(part, f"{beside}/events.arrow", schema.CARRIED["events"], [stored(each) for each in parts])
        for name, values in columns.items():
            table = schema.CARRIED[name]
            _write(part, f"{beside}/{name}.arrow", table, [record_batch(values, table)])
        part.rename(beside, schema.CARRIED_DIR)
    except OSError as error:
        raise WriteError(f"{following / beside} cannot be written: {error.strerror or error}") from error


def _write(part: Place, name: str, table_schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
    table = TableWriter(part, name, table_schema)
    for batch in batches:
        if batch.num_rows:
            table.append(batch)
    table.close()


def _summed(losses: pa.Table) -> list[Any]:
    """One row for each CPU, kind and program, of the whole time: all of it may have been lost at its end."""
    keys = zip(*(losses.column(name).to_pylist() for name in ("cpu", "kind", "program")), strict=True)
    times = (plain(losses.column(name)).tolist() for name in ("begin_ns", "end_ns", "count"))
    rows: dict[tuple[int, int, str], list[int]] = {}
    for key, begin_ns, end_ns, count in zip(keys, *times, strict=True):
        row = rows.setdefault(key, [begin_ns, end_ns, 0])
        rows[key] = [min(row[0], begin_ns), max(row[1], end_ns), row[2] + count]
    made = [(*times[:2], *key, times[2]) for key, times in rows.items()]
    return [list(column) for column in zip(*made, strict=True)] or [[] for _ in schema.LOSSES]


def in_time_order(objects: EventBatch) -> EventBatch:
    """Allocations as a trace holds them."""
    return objects.take(np.argsort(objects.ts_ns, kind="stable"))
