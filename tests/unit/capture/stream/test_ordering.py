# SPDX-License-Identifier: Apache-2.0
"""The time merge: whatever lanes and watermarks do, the stream is ordered and nothing is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slabtrace.capture.stream.ordering import TimeMerge
from slabtrace.trace.format.batch import EventBatch


def batch(times: list[int]) -> EventBatch:
    n = len(times)
    return EventBatch(
        np.array(times, dtype=np.int64),
        np.arange(n, dtype=np.uint64),
        np.zeros(n, dtype=np.uint32),
        np.zeros(n, dtype=np.uint32),
        np.zeros(n, dtype=np.uint16),
    )


@given(st.lists(st.tuples(st.lists(st.integers(0, 100), max_size=20), st.integers(0, 100)), max_size=8))
def test_ordered_and_complete(drains: list[tuple[list[int], int]]) -> None:
    """Events that keep the promise of each watermark come out once each, and batches in order."""
    merge, promised, released, sent = TimeMerge(), 0, [], []
    for times, watermark in drains:
        kept = [time for time in times if time >= promised]  # the promise: nothing older comes any more
        promised = max(promised, watermark)
        sent += kept
        released += sorted(merge.merge(batch(kept), promised).ts_ns.tolist())
    released += sorted(merge.merge(batch([]), None).ts_ns.tolist())
    assert released == sorted(sent)
    assert merge.late == 0


def test_nothing_newer_than_the_watermark_is_released() -> None:
    assert TimeMerge().merge(batch([5, 1, 9, 7]), 7).ts_ns.tolist() == [1, 5]


def test_a_broken_promise_is_counted() -> None:
    merge = TimeMerge()
    merge.merge(batch([10, 20, 30]), None)
    assert merge.merge(batch([15, 25, 40]), None).ts_ns.tolist() == [15, 25, 40]
    assert merge.late == 2


def test_equal_times_keep_their_order() -> None:
    assert TimeMerge().merge(batch([3, 3, 3]), None).ptr.tolist() == [0, 1, 2]
