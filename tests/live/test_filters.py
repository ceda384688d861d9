# SPDX-License-Identifier: Apache-2.0
"""Filters act in the kernel: what they leave out is never stored, and what they keep is whole."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

import slabtrace
from slabtrace.analysis.grouping.joins import WHOLE_EVENT
from slabtrace.trace.format.schema import FREE_BIT
from tests.live.conftest import Leaver
from tests.live.test_exact_counts import EXCHANGED, KEPT, cache_of_a_message

RecordLeaver = Callable[..., Leaver]
COLUMNS = ["ptr", "kind", "cache", "bytes_req", "tgid"]


def events_of(leaver: Leaver) -> pa.Table:
    schema = pa.schema([WHOLE_EVENT.field(name) for name in COLUMNS])
    return pa.Table.from_batches(slabtrace.open(leaver.trace).events(COLUMNS), schema)


def command_pid(leaver: Leaver) -> int:
    command = slabtrace.open(leaver.trace).manifest.command
    assert command is not None
    return command.pid


def allocations(events: pa.Table) -> pa.Table:
    return events.filter(pa.array([not kind & FREE_BIT for kind in events["kind"].to_pylist()], pa.bool_()))


def test_cache(record_leaver: RecordLeaver) -> None:
    name = cache_of_a_message()
    leaver = record_leaver(KEPT, EXCHANGED, 101, 0, options=("--cache", name))
    events = events_of(leaver)
    assert len(set(events["cache"].to_pylist())) == 1
    assert allocations(events)["tgid"].to_pylist().count(command_pid(leaver)) == KEPT + EXCHANGED
    frees = events.num_rows - allocations(events).num_rows
    assert frees >= EXCHANGED


def test_size(record_leaver: RecordLeaver) -> None:
    events = events_of(
        record_leaver(KEPT, EXCHANGED, 101, 0, options=("--min-size", "112", "--max-size", "112"))
    )
    allocated = allocations(events)
    assert set(allocated["bytes_req"].to_pylist()) == {112}
    assert allocated.num_rows >= KEPT + EXCHANGED
    freed = set(events["ptr"].to_pylist()) - set(allocated["ptr"].to_pylist())
    assert len(freed) < 100  # frees of other objects that share a mark, at most a few


def test_comm(record_leaver: RecordLeaver) -> None:
    leaver = record_leaver(KEPT, EXCHANGED, 101, 0, options=("--comm", "l[e]av?r*"))
    allocated = allocations(events_of(leaver))
    assert set(allocated["tgid"].to_pylist()) == {command_pid(leaver)}
    assert allocated.num_rows > KEPT + EXCHANGED


def test_pid_that_never_allocates(record_leaver: RecordLeaver) -> None:
    leaver = record_leaver(KEPT, EXCHANGED, 101, 0, options=("--pid", "4194303"))
    assert allocations(events_of(leaver)).num_rows == 0
