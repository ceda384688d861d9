# SPDX-License-Identifier: Apache-2.0
"""Columns of the table of who holds what."""

from __future__ import annotations

from slabtrace.columns.identity import IDENTITY
from slabtrace.columns.table import NUMBERS, TEXT, TEXTS, Column, Table

WHO = Table(
    "who",
    "a command, process, cgroup, unit, container or charged memory cgroup, with what it left outstanding in all caches",
    "who",
    (
        Column("name", TEXT, "", "what the rows are by: the command line, pid, cgroup path, unit, container, or path of the charged memory cgroup; empty: not known"),
        Column("outstanding", "int64", "", "objects it allocated that were not freed by the end of the recording"),
        Column("bytes_alloc", "int64", "B", "what these occupy"),
        Column("growth_bytes_per_s", "float64", "B/s", "of suspects and growing findings, its share by bytes"),
        Column("suspects", NUMBERS, "", "ranks of the suspects among the findings it has a share in"),
        Column("caches", TEXTS, "", "slab caches of these objects, most bytes first"),
        Column("pids", NUMBERS, "", "these processes (tgid), most objects first, at most 100"),
        Column("comms", TEXTS, "", "names of the tasks, most objects first, at most 20"),
        *IDENTITY,
        Column("own", "bool", "", "slabtrace's recorder itself"),
    ),
    command="who",
    json_list="who",
)  # fmt: skip
