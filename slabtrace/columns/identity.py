# SPDX-License-Identifier: Apache-2.0
"""Columns of who allocated: a part of several tables.  Lists have most objects first, and 20 texts at most."""

from __future__ import annotations

from slabtrace.columns.table import TEXTS, Column

IDENTITY = (
    Column("processes", "int64", "", "processes that allocated the outstanding objects"),
    Column("alive", "Int64", "", "of these, processes that lived at the end; missing in traces before 2.2", nullable=True),
    Column("commands", TEXTS, "", "command lines of the processes"),
    Column("parents", TEXTS, "", "command lines of their parents"),
    Column("cgroups", TEXTS, "", "paths of their cgroups"),
    Column("units", TEXTS, "", "systemd units of these"),
    Column("containers", TEXTS, "", "containers of these"),
)  # fmt: skip
