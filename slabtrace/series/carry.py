# SPDX-License-Identifier: Apache-2.0
"""What a part of a series leaves to the next: its outstanding objects, found by the same pairing as ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slabtrace.analysis.names.sites import Sites
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.analysis.pairing.paired import How
from slabtrace.analysis.pairing.pairer import Pairer
from slabtrace.analysis.pairing.scan import paired_chunks
from slabtrace.series.carried import in_time_order, write_carried
from slabtrace.trace.format.arrays import plain
from slabtrace.trace.format.batch import EventBatch
from slabtrace.trace.reading.reader import TraceReader


def carry(ended: Path, following: Path) -> None:
    """Write what the trace `ended` leaves outstanding into `following`.  Raises TraceError, WriteError."""
    reader = TraceReader(ended)
    sites = Sites.from_table(reader.sites)
    pairer = Pairer(sites, free_traced_after=reader.manifest.coverage.free_traced_after)
    missed = np.zeros(len(sites), np.int64)
    before = reader.carried("missed")
    site, count = plain(before.column("site")), plain(before.column("frees")).astype(np.int64)
    np.add.at(missed, site[site < len(missed)], count[site < len(missed)])  # sites.arrow may be cut
    for paired in paired_chunks(reader.events(), pairer):
        proved = (paired.how != How.FREED) & (paired.how != How.DUPLICATE)
        np.add.at(missed, paired.ended_site[proved], 1)
    objects = in_time_order(pairer.live)
    known = {int(site): int(missed[site]) for site in np.flatnonzero(missed)}
    write_carried(reader, following, objects, _who(objects, reader.table("tasks")), known)


def _who(objects: EventBatch, table: pa.Table) -> list[Any]:
    """The rows that name the tasks which allocated `objects`, as the columns of schema.TASKS."""
    tasks = Tasks(table)
    row = np.unique(tasks.rows(objects.tid, objects.ts_ns))
    row = row[row >= 0]
    comms = [tasks.comm[each] for each in row.tolist()]
    return [tasks.ts_ns[row], tasks.tid[row], tasks.tgid[row], comms]
