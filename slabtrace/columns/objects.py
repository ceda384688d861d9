# SPDX-License-Identifier: Apache-2.0
"""Columns of single outstanding objects."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, Column, Table

OLDEST = Table(
    "oldest objects", "an outstanding object: one of the oldest owners of a finding", "oldest",
    (
        Column("finding", "int64", "", "rank of the finding that it is an owner of"),
        Column("ptr", "uint64", "address", "where it begins; made up in a redacted trace"),
        Column("ts_ns", "int64", "ns", "when it was allocated, since the start"),
        Column("age_ns", "int64", "ns", "from then to the end of the recording"),
        Column("bytes_alloc", "int64", "B", "what it occupies"),
        Column("cache", TEXT, "", "slab cache; where the kernel merged several, the name it shows for all"),
        Column("object", TEXT, "", "what it is, by who allocated it; empty if that is not known"),
        Column("comm", TEXT, "", "name of the task that allocated it; empty if that is not known"),
        Column("tid", "int64", "", "that task"),
        Column("pid", "int64", "", "its process (tgid); 0 if that is not known"),
        Column("in_use", "bool", "", "its slab held it in use at the end of the recording; false: not known"),
        Column("drgn", TEXT, "", "a line for drgn that shows it; empty in a redacted trace"),
        Column("crash", TEXT, "", "a line for crash that shows it; empty in a redacted trace"),
    ),
    command="leaks --objects N", json_list="findings[].oldest",
)  # fmt: skip
