# SPDX-License-Identifier: Apache-2.0
"""Columns of what belongs to the recording itself: losses, marks, tasks."""

from __future__ import annotations

from slabtrace.columns.table import TEXT, Column, Table

LOSSES = Table(
    "losses", "a row of the loss ledger", "losses",
    (
        Column("begin_ns", "int64", "ns", "from when, since the start of the recording"),
        Column("end_ns", "int64", "ns", "until when, since the start of the recording"),
        Column("cpu", "int16", "", "on which CPU; -1 where it is not known"),
        Column("kind", TEXT, "", "what happened, as trace.format.schema.Loss names it, in lower case"),
        Column("program", TEXT, "", "the BPF program; empty where several may have lost it"),
        Column("count", "int64", "", "how many events"),
        Column("lost", "bool", "", "whether events are missing for it: not where a stack alone was lost, or a twin had the event"),
    ),
)  # fmt: skip

MARKS = Table(
    "marks", "a mark that was set while recording", "marks",
    (
        Column("ts_ns", "int64", "ns", "when, since the start of the recording"),
        Column("text", TEXT, "", "its text, as somebody on the traced machine wrote it"),
    ),
)  # fmt: skip

TASKS = Table(
    "tasks", "a name of a task", "tasks",
    (
        Column("ts_ns", "int64", "ns", "since when, since the start of the recording; negative: before"),
        Column("tid", "uint32", "", "thread"),
        Column("tgid", "uint32", "", "process"),
        Column("comm", TEXT, "", "its name from then on, as somebody on the traced machine chose it"),
    ),
)  # fmt: skip
