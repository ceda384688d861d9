# SPDX-License-Identifier: Apache-2.0
"""What a part leaves to the next: outstanding objects, who allocated them, what was lost and missed so far,
how long the others lived, and which frees were of objects older than the series.

The part that has ended is read once more and paired as ever.  The result is the folder carried/ of the part
that follows (trace/format/schema.py: CARRIED): all of it, or, until it is whole, nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slabtrace.analysis.carried.earlier import Earlier
from slabtrace.analysis.carried.older import OlderRows, merged
from slabtrace.analysis.counting.ages import least_horizon_ns
from slabtrace.analysis.counting.by_site import Counts
from slabtrace.analysis.counting.older_frees import OlderFrees
from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.tasks import UNKNOWN_TGID, Tasks
from slabtrace.analysis.pairing.paired import How
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import Accumulator, paired_chunks
from slabtrace.analysis.processes.processes import NOT_ENDED, Processes
from slabtrace.analysis.processes.states import Row, rows_of
from slabtrace.trace.files.place import Place
from slabtrace.trace.format import schema
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.format.event_columns import stored
from slabtrace.trace.format.schema import ProcessEvent
from slabtrace.trace.reading.reader import TraceReader
from slabtrace.trace.writing.writer import TableWriter, WriteError, record_batch

BATCH = 1 << 17  # objects
COMPLETED_NS = 60_000_000_000  # what kfree_rcu freed is given back after a few seconds at most


def carry(ended: Path, following: Path) -> None:
    """Carry what the trace `ended` leaves outstanding into `following`.  Raises TraceError, WriteError."""
    reader = TraceReader(ended)
    sites = Sites.from_table(reader.sites)
    earlier, length_ns = Earlier(reader, len(sites)), reader.span()[1] - reader.since_ns
    older = OlderFrees(reader.since_ns + least_horizon_ns(length_ns))
    pairer = Pairer.for_trace(reader.manifest, sites)
    pairer.expect(earlier.uncompleted)
    objects, missed = _outstanding(reader, pairer, [earlier.deaths, older])
    site = np.flatnonzero(missed)
    lived, pairs = earlier.deaths.columns()
    tables: dict[str, list[Any]] = {
        "tasks": _who_allocated(objects, reader.table("tasks")),
        **_processes_of(objects, reader),
        "losses": _summed(reader.table("losses")),
        "missed": [site.tolist(), missed[site].tolist()],
        "since": [[reader.since_ns]],
        "older": list(_older(earlier.older, older.close(), length_ns)),
        "lived": lived,
        "pairs": pairs,
    }
    last = pairer.uncompleted
    last = last.take(last.ts_ns > reader.span()[1] - COMPLETED_NS)
    _write_whole(following, {"events": objects, "uncompleted": last}, tables)


def _older(before: OlderRows, mine: OlderFrees, length_ns: int) -> OlderRows:
    """The frees of objects from before the series that still count, however long it goes on."""
    return merged(before.since(mine.since_ns), mine.site, mine.ts_ns, length_ns)


def _outstanding(
    reader: TraceReader, pairer: Pairer, accumulators: Sequence[Accumulator]
) -> tuple[EventBatch, Counts]:
    """The allocations outstanding at the end, in time order; and inferred frees by site, shape (s,)."""
    missed = np.zeros(len(pairer.sites), np.int64)
    before = reader.carried("missed")
    site, count = plain(before.column("site")), plain(before.column("frees")).astype(np.int64)
    np.add.at(missed, site[site < len(missed)], count[site < len(missed)])  # sites.arrow may be cut
    for paired in paired_chunks(reader.events(), pairer):
        inferred = (paired.how != How.FREED) & (paired.how != How.DUPLICATE)
        np.add.at(missed, paired.ended_site[inferred], 1)
        for accumulator in accumulators:
            accumulator.add(paired)
    live = pairer.live
    return live.take(np.argsort(live.ts_ns, kind="stable")), missed


def _who_allocated(objects: EventBatch, table: pa.Table) -> list[Any]:
    """The rows that name the tasks which allocated `objects`, as the columns of schema.TASKS."""
    tasks = Tasks(table)
    row = np.unique(tasks.rows(objects.tid, objects.ts_ns))
    row = row[row >= 0]
    comms = [tasks.comm[each] for each in row.tolist()]
    return [tasks.ts_ns[row], tasks.tid[row], tasks.tgid[row], comms]


def _processes_of(objects: EventBatch, reader: TraceReader) -> dict[str, list[Any]]:
    """The rows of processes and cgroups that say who allocated `objects`."""
    tasks, cgroups = Tasks(reader.table("tasks")), reader.table("cgroups")
    processes = Processes(reader.table("processes"), cgroups)
    tgid = np.append(tasks.tgid, UNKNOWN_TGID)[tasks.rows(objects.tid, objects.ts_ns)]  # row -1: the last
    found = np.unique(processes.rows(tgid.astype(np.int64), objects.ts_ns))
    states = [processes.states[row] for row in found[found >= 0].tolist()]
    rows = [row for state in states for row in rows_of(state)]
    for state in states:
        if (ended_ns := processes.ended_ns[state.number]) != NOT_ENDED:
            rows.append(Row(ended_ns, ProcessEvent.EXIT, state.tgid, 0, 0, 0, 0, 0, "", ""))
    in_use = {key for state in states for key in state.cgroups.items()}
    keys = zip(cgroups.column("hierarchy").to_pylist(), cgroups.column("cgroup").to_pylist(), strict=True)
    of_these = cgroups.filter(pa.array([key in in_use for key in keys], pa.bool_()))
    return {
        "processes": [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema.PROCESSES],
        "cgroups": [column.to_pylist() for column in of_these.columns],
    }


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


def _write_whole(following: Path, events: dict[str, EventBatch], tables: dict[str, list[Any]]) -> None:
    """Write carried/ under another name, and give it its own once it is whole.  Raises WriteError."""
    beside = f"{schema.CARRIED_DIR}.new"
    try:
        part = Place(following)
        part.make(beside)
        for name, batch in events.items():
            batches = (batch.take(slice(at, at + BATCH)) for at in range(0, batch.size, BATCH))
            _write(part, f"{beside}/{name}.arrow", schema.CARRIED[name], [stored(each) for each in batches])
        for name, columns in tables.items():
            table = schema.CARRIED[name]
            _write(part, f"{beside}/{name}.arrow", table, [record_batch(columns, table)])
        part.rename(beside, schema.CARRIED_DIR)
    except OSError as error:
        raise WriteError(f"{following / beside} cannot be written: {error.strerror or error}") from error


def _write(part: Place, name: str, table_schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
    table = TableWriter(part, name, table_schema)
    for batch in batches:
        if batch.num_rows:
            table.append(batch)
    table.close()
