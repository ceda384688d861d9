# SPDX-License-Identifier: Apache-2.0
"""Columns of snapshots that a kernel printed."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, TEXTS, Column, Table

SNAPSHOTS = Table(
    "snapshots", "a slab cache or call site in snapshots of slabinfo, allocinfo, alloc_traces or kmemleak",
    "importing.snapshots",
    (
        Column("source", TEXT, "", "slabinfo, allocinfo, alloc_traces or kmemleak"),
        Column("place", TEXT, "", "the slab cache, or the call site as it is printed"),
        Column("objects", "int64", "", "objects in use in the last snapshot"),
        Column("bytes", "int64", "B", "what they occupy; 0 of alloc_traces, which does not say"),
        Column("grown_objects", "int64", "", "objects in the last snapshot less those in the first"),
        Column("grown_bytes", "int64", "B", "likewise"),
        Column("growth_bytes_per_s", "float64", "B/s", "grown_bytes by the time between them; missing if that is not known", nullable=True),
        Column("rises", "int64", "", "how often there were more than in the snapshot before"),
        Column("falls", "int64", "", "how often there were fewer"),
        Column("p", "float64", "0 to 1", "chance of so many rises, if half of the changes were; missing without changes", nullable=True),
        Column("grows", "bool", "", "it rose so often that it is no chance among so many places"),
        Column("oldest", "float64", "", "age of the oldest object: s of kmemleak, jiffies of alloc_traces", nullable=True),
        Column("comms", TEXTS, "", "names of the tasks that allocated what kmemleak reports, most first"),
        Column("reported", "int64", "", "objects that kmemleak reports in the last snapshot"),
        Column("outstanding", "int64", "", "of these, owners that are outstanding in the trace beside"),
        Column("finding", "int64", "", "rank of the finding that has most of them; 0: none"),
    ),
    command="import --snapshot", json_list="places",
)  # fmt: skip
