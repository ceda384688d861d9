# SPDX-License-Identifier: Apache-2.0
"""The counts beyond the columns of perf kmem, and the threads that compute them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slabtrace
from slabtrace.analysis.statistics.percentiles import percentile
from slabtrace.trace.format.schema import Flag
from slabtrace.trace.manifest import Host, Manifest
from slabtrace.trace.reading.ahead import ahead
from tests.unit.synthetic import Event, alloc, free, write_trace

EVENTS: list[Event] = [
    alloc(100, 0x1000),
    free(200, 0x1000, cpu=1),  # on another CPU of the same node, and of another task
    alloc(300, 0x1000, bytes_req=10, bytes_alloc=32),
    free(400, 0x1000, cpu=2),  # on another node
    alloc(500, 0x2000),
    alloc(600, 0x2000, flags=Flag.RECOVERED),  # the same allocation, recorded twice
    free(900_000, 0x2000),  # temporary: freed by the same task within a millisecond
    free(950_000, 0x2000),  # again: no bytes, no ping-pong
    alloc(1_000_000, 0x3000),
    free(2_000_000, 0x3000, tid=8),  # not temporary; freed by another task: not temporary either
]


@pytest.fixture
def trace(tmp_path: Path) -> Any:
    manifest = Manifest(status="complete", host=Host(cpus=4, cpu_nodes=[0, 0, 1, 1]))
    return slabtrace.open(write_trace(tmp_path / "t.slab", EVENTS, manifest=manifest, batch_events=3))


def test_counts_by_address(trace: Any) -> None:
    rows = {row["ptr"]: row for row in trace.stat("ptr").to_dict("records")}
    assert {ptr: (row["hits"], row["bytes_alloc"], row["pingpong"]) for ptr, row in rows.items()} == {
        0x1000: (2, 96, 2),
        0x2000: (1, 64, 0),
        0x3000: (1, 64, 0),
    }
    assert rows[0x1000]["frag"] == pytest.approx(1 - 60 / 96)


def test_counts_by_node(trace: Any) -> None:
    (row,) = trace.stat("call_site").to_dict("records")
    assert (row["pingpong"], row["crossnode"], row["hits"]) == (2, 1, 4)


def test_temporary_objects(trace: Any) -> None:
    (row,) = trace.lifetime_table("cache").to_dict("records")
    assert (row["allocated"], row["freed"], row["temporary"], row["survivors"]) == (4, 4, 3, 0)
    assert row["histogram"][0] == (64, 128, 2)


def test_percentiles_are_in_their_octave() -> None:
    lived = np.zeros((2, 48), np.int64)
    lived[0, 10], lived[0, 20] = 50, 50
    assert percentile(lived, 0.5)[0] == 2048  # all of the lower octave, up to its end
    assert 2**20 < percentile(lived, 0.75)[0] < 2**21
    assert np.isnan(percentile(lived, 0.5)[1])


def test_items_are_computed_ahead_in_order_in_another_thread() -> None:
    here, seen = threading.get_ident(), []

    def items() -> Iterator[int]:
        for number in range(5):
            seen.append(threading.get_ident() != here)
            yield number

    assert list(ahead(items(), 2, "test")) == [0, 1, 2, 3, 4]
    assert seen == [True] * 5


def test_an_error_ahead_is_raised_when_its_item_is_taken() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    stream = ahead(items(), 3, "test")
    assert next(stream) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(stream)
