# SPDX-License-Identifier: Apache-2.0
"""The columns of events/ on disk, and the EventBatch in memory.

A time is stored as two columns: ts_ns = ts_high * 65536 + ts_low.  As one column it takes zstd longer than
all others together, for its lower two bytes never repeat.  Apart, zstd sees at once that the lower ones
cannot be compressed, and the upper ones rarely change: 7 instead of 42 ns an event, for 1 % more bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from slabtrace.trace.format import schema
from slabtrace.trace.format.arrays import column, plain
from slabtrace.trace.format.batch import EventBatch, Int64

_LOW_BITS = 16


def stored(batch: EventBatch) -> pa.RecordBatch:
    """A record batch of the columns of schema.EVENTS."""
    ts_ns, ptr, site, tid, cpu = batch
    columns: tuple[NDArray[Any], ...] = (ts_ns >> _LOW_BITS, ts_ns.astype(np.uint16), ptr, site, tid, cpu)
    made = [column(values, field.type) for values, field in zip(columns, schema.EVENTS, strict=True)]
    return pa.RecordBatch.from_arrays(made, schema=schema.EVENTS)


def loaded(record: pa.RecordBatch) -> EventBatch:
    """The events of a record batch of schema.EVENTS, or of EVENTS_1, in any order of columns."""
    return EventBatch(times(record), *(plain(record.column(name)) for name in EventBatch._fields[1:]))


def times(record: pa.RecordBatch) -> Int64:
    """ts_ns of a record batch; it needs only the columns of the time."""
    if "ts_ns" in record.schema.names:  # format 1
        whole: Int64 = plain(record.column("ts_ns"))
        return whole
    ts_ns: Int64 = plain(record.column("ts_high")) << _LOW_BITS
    ts_ns |= plain(record.column("ts_low"))
    return ts_ns
