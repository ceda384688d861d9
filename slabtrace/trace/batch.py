# SPDX-License-Identifier: Apache-2.0
"""One batch of events as NumPy columns: what the recorder stores and the analysis reads."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

Int64: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
UInt64: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
UInt32: TypeAlias = np.ndarray[Any, np.dtype[np.uint32]]
UInt16: TypeAlias = np.ndarray[Any, np.dtype[np.uint16]]


class EventBatch(NamedTuple):
    """Columns of trace.schema.EVENTS, all of shape (n,), ordered by ts_ns."""

    ts_ns: Int64
    ptr: UInt64
    site: UInt32
    tid: UInt32
    cpu: UInt16

    @property
    def size(self) -> int:
        """Number of events."""
        return len(self.ts_ns)

    def take(self, index: np.ndarray[Any, Any] | slice) -> EventBatch:
        """The events at `index`, in that order."""
        ts_ns, ptr, site, tid, cpu = self
        return EventBatch(ts_ns[index], ptr[index], site[index], tid[index], cpu[index])


def concatenate(batches: list[EventBatch]) -> EventBatch:
    """One batch after the other.  At least one is needed."""
    return EventBatch(*(np.concatenate(columns) for columns in zip(*batches, strict=True)))
