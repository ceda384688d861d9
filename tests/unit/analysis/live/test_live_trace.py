# SPDX-License-Identifier: Apache-2.0
"""Counting of the live view, batch by batch."""

from __future__ import annotations

import numpy as np

from slabtrace.analysis.live.tables import MOST_LOSSES, MOST_TASKS, LiveTables
from slabtrace.analysis.live.trace import LiveTrace
from slabtrace.analysis.pairing.pairer import NONE
from slabtrace.trace.format import schema
from slabtrace.trace.format.schema import Flag
from slabtrace.trace.manifest import Manifest, Unattached
from tests.unit.live_view import SECOND, growing, watched
from tests.unit.synthetic import START, alloc, free, intern


def test_groups_are_counted_batch_by_batch() -> None:
    table = watched(growing(4)).table("cache").set_index("cache")
    kept, gone = table.loc[np.uint64(0xC0)], table.loc[np.uint64(0xD0)]
    assert (kept["outstanding"], kept["bytes"], kept["allocated"]) == (12, 12 * 64, 12)
    assert (kept["allocs_per_s"], kept["frees_per_s"], kept["growth_per_s"]) == (3, 0, 3 * 64)
    assert (gone["outstanding"], gone["allocated"]) == (0, 8)
    assert (gone["allocs_per_s"], gone["frees_per_s"], gone["growth_per_s"]) == (2, 2, 0)


def test_a_second_free_is_counted_once() -> None:
    twice = [alloc(0, 0x1000), free(10, 0x1000), free(SECOND // 2, 0x1000, call_site=0x400)]
    assert watched([twice]).mismatches == 1
    assert watched(growing(3)).mismatches == 0


def test_a_twins_late_record_of_a_free_is_not_counted() -> None:
    again = {"call_site": 0x400, "flags": Flag.RECOVERED}
    events = [alloc(0, 0x1000), free(10, 0x1000, call_site=0x400), free(SECOND // 2, 0x1000, **again)]
    assert watched([events]).second_frees == 0


def test_second_frees_that_missed_allocations_explain_are_no_mismatches() -> None:
    frees = [free(10 + i, 0x1000, call_site=0x400 + i) for i in range(11)]
    live = watched([[alloc(0, 0x1000), *frees]])
    assert live.mismatches == 10
    live.manifest.totals.dropped, live.manifest.totals.recursion_missed = 5, 7
    live.manifest.totals.recovered = 4
    assert live.mismatches == 2, "5 dropped, 3 skipped"
    live.manifest.coverage.unattached = [Unattached("kmem_cache_free_bulk", "refused")]
    assert live.mismatches == 2, "it hides no allocation"
    live.manifest.coverage.unattached = [Unattached("kmem_cache_alloc_bulk", "refused")]
    assert live.mismatches == 0
    live.manifest.coverage.unattached = []
    live.manifest.options["pid"] = 4
    assert live.mismatches == 0, "other tasks' allocations of the address are left out"


def test_a_row_has_its_stacks() -> None:
    live = watched(growing(2))
    table = live.table("stack", {"cache": 0xC0, "call_site": 0x100})
    assert table["outstanding"].tolist() == [6]
    assert live.tables.stack(int(table["stack_id"][0])) == ["load_msg+0x1 [ipc]", "do_syscall_64+0x2"]


def test_an_empty_trace_has_an_empty_table() -> None:
    live = LiveTrace(Manifest())
    live.snapshot(START)
    assert live.table("cache").empty


def test_of_many_tasks_the_newest_and_those_with_live_objects_stay() -> None:
    tables, number = LiveTables(), MOST_TASKS + 1
    ids = list(range(1, number + 1))
    names = [f"task-{each}" for each in ids]
    tables.take("tasks", {"ts_ns": ids, "tid": ids, "tgid": ids, "comm": names})
    live, _ = intern([alloc(number - START, 0x1000, tid=3)])
    tables.lookup(Manifest(), live)
    tasks = tables.lookup(Manifest(), NONE).tasks
    assert len(tasks.comm) == MOST_TASKS // 2 + 1
    assert "task-3" in tasks.comm and f"task-{number}" in tasks.comm and "task-4" not in tasks.comm


def test_only_the_newest_losses_stay() -> None:
    tables = LiveTables()
    times = list(range(MOST_LOSSES + 7))
    row = {"end_ns": 0, "cpu": 0, "kind": 1, "program": "", "count": 1}
    tables.take("losses", {"begin_ns": times} | {name: [value] * len(times) for name, value in row.items()})
    losses = tables.losses()
    assert losses.schema == schema.LOSSES
    assert losses.column("begin_ns").to_pylist() == times[7:]
