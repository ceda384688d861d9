# SPDX-License-Identifier: Apache-2.0
"""Filters act in the kernel: what they leave out is never stored, and what they keep is whole.

A free names the task that the CPU was running: one that an interrupt or a reader of RCU's makes
meanwhile carries the workload's pid too.  So frees are counted at the call site of a message's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pyarrow as pa

import slabtrace
from slabtrace.analysis.grouping.joins import WHOLE_EVENT
from slabtrace.trace.format.schema import FREE_BIT
from tests.live.conftest import LEAVER, Leaver
from tests.live.test_exact_counts import EXCHANGED, KEPT, cache_of_a_message

RecordLeaver = Callable[..., Leaver]
COLUMNS = ["ptr", "kind", "cache", "bytes_req", "tgid", "call_site"]


def events_of(leaver: Leaver) -> pa.Table:
    schema = pa.schema([WHOLE_EVENT.field(name) for name in COLUMNS])
    return pa.Table.from_batches(slabtrace.open(leaver.trace).events(COLUMNS), schema)


def of_kind(events: pa.Table, free: bool) -> pa.Table:
    wanted = [bool(kind & FREE_BIT) == free for kind in events["kind"].to_pylist()]
    return events.filter(pa.array(wanted, pa.bool_()))


def by(pid: int, events: pa.Table) -> pa.Table:
    return events.filter(pa.array([tgid == pid for tgid in events["tgid"].to_pylist()], pa.bool_()))


def allocations(events: pa.Table) -> pa.Table:
    return of_kind(events, free=False)


def frees(events: pa.Table) -> pa.Table:
    return of_kind(events, free=True)


def at_its_site(events: pa.Table) -> int:
    """How many of the events were at the call site that has the most of them."""
    return max(Counter(events["call_site"].to_pylist()).values(), default=0)


def test_cache(record_leaver: RecordLeaver) -> None:
    name = cache_of_a_message()
    leaver = record_leaver(KEPT, EXCHANGED, 101, 0, options=("--cache", name))
    events = events_of(leaver)
    assert len(set(events["cache"].to_pylist())) == 1
    own = by(leaver.pid(), events)
    assert at_its_site(allocations(own)) == KEPT + EXCHANGED
    assert at_its_site(frees(own)) == EXCHANGED


def test_size(record_leaver: RecordLeaver) -> None:
    leaver = record_leaver(KEPT, EXCHANGED, 101, 0, options=("--min-size", "112", "--max-size", "112"))
    events = events_of(leaver)
    assert set(allocations(events)["bytes_req"].to_pylist()) == {112}
    own = by(leaver.pid(), events)
    assert allocations(own).num_rows == KEPT + EXCHANGED
    assert at_its_site(frees(own)) == EXCHANGED
    assert frees(own).num_rows - EXCHANGED < 100  # of other objects that share a mark, at most a few


def test_comm(record_leaver: RecordLeaver) -> None:
    leaver = record_leaver(KEPT, EXCHANGED, 101, 0, options=("--comm", f"l[e]av?r{LEAVER[6:-1]}*"))
    allocated = allocations(events_of(leaver))
    assert set(allocated["tgid"].to_pylist()) == {leaver.pid()}
    assert allocated.num_rows > KEPT + EXCHANGED


def test_pid_that_never_allocates(record_leaver: RecordLeaver) -> None:
    leaver = record_leaver(KEPT, EXCHANGED, 101, 0, options=("--pid", "4194303"))
    assert allocations(events_of(leaver)).num_rows == 0
