# SPDX-License-Identifier: Apache-2.0
"""What belongs to a recording itself, as tables: its tasks, marks and modules."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from slabtrace.analysis.names.modules import Modules
from slabtrace.analysis.names.tasks import Tasks
from slabtrace.columns import MODULES, TASKS


def task_table(tasks: Tasks, started_ns: int) -> pd.DataFrame:
    """Columns as columns.TASKS; times since `started_ns`."""
    values = (tasks.ts_ns - started_ns, tasks.tid, tasks.tgid, tasks.comm)
    return pd.DataFrame(dict(zip(TASKS.names, values, strict=True)))


def mark_table(marks: pa.Table, started_ns: int) -> pd.DataFrame:
    """Columns as columns.MARKS, from marks.arrow; times since `started_ns`."""
    rows = marks.to_pylist()
    times = [row["ts_ns"] - started_ns for row in rows]
    return pd.DataFrame({"ts_ns": times, "text": [row["text"] for row in rows]})


def module_table(modules: Modules, started_ns: int) -> pd.DataFrame:
    """Columns as columns.MODULES; times since `started_ns`."""
    frame = pd.DataFrame([vars(module) for module in modules], columns=list(MODULES.names))
    frame["since_ns"] -= started_ns
    return frame.astype({"begin": "uint64", "size": "int64", "since_ns": "int64"})
