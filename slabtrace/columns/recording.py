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

MODULES = Table(
    "modules", "the kernel, or a module that was loaded before or while recording", "modules",
    (
        Column("name", TEXT, "", "the module's name; empty for the kernel itself"),
        Column("version", TEXT, "", "as its author wrote it; empty where there is none"),
        Column("srcversion", TEXT, "", "a checksum of its sources; empty where there is none"),
        Column("build_id", TEXT, "", "what names this build, and its debug info; empty where there is none"),
        Column("taint", TEXT, "", "letters, as in /sys/module/NAME/taint: O built out of tree, E not signed, P proprietary"),
        Column("begin", "uint64", "address", "where it is in memory, the kernel itself its _stext; 0 (null in JSON) if not known"),
        Column("size", "int64", "B", "of its memory; 0 if not known"),
        Column("since_ns", "int64", "ns", "when it was noticed, since the start of the recording; negative: before"),
    ),
    command="info", json_list="modules",
)  # fmt: skip
