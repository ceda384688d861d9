# SPDX-License-Identifier: Apache-2.0
"""Columns built from buffers equal those of pyarrow, and pandas is not imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from slabtrace.trace.format import schema
from slabtrace.trace.format.arrays import column

COLUMNS: list[tuple[pa.DataType, Any]] = [
    (pa.int64(), [1, -(2**63), 5]),
    (pa.uint64(), [2**64 - 1, 0]),
    (pa.uint16(), np.array([3, 4], np.int64)),
    (pa.int16(), []),
    (pa.bool_(), [True, False, True] * 5),
    (pa.bool_(), []),
    (pa.string(), ["", "kmalloc-64", "\u00fc\u2603", "\0"]),
    (pa.string(), []),
    (pa.binary(), [b"", b"\xff\0"]),
    (pa.list_(pa.uint64()), [[1, 2], [], [2**64 - 1]]),
    (pa.list_(pa.string()), [[], ["a", "bc"], [""]]),
    (pa.list_(pa.string()), []),
]


@pytest.mark.parametrize(("kind", "values"), COLUMNS)
def test_a_column_equals_that_of_pyarrow(kind: pa.DataType, values: Any) -> None:
    made = column(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, type=kind))


def test_every_column_of_a_trace_can_be_built() -> None:
    for table in [schema.EVENTS, *schema.SIDE_TABLES.values()]:
        for field in table:
            assert column([], field.type).type == field.type


def test_writing_a_trace_needs_no_pandas(tmp_path: Path) -> None:
    """pandas would take half a second and 40 MB on every machine that records."""
    script = f"""
import sys
from pathlib import Path
import slabtrace.capture.recorder
from slabtrace.trace.manifest import Manifest
from slabtrace.trace.writing.writer import TraceWriter
from tests.unit.synthetic import alloc, intern
writer = TraceWriter(Path({str(tmp_path)!r}) / "t.slab", Manifest())
batch, sites = intern([alloc(1, 64)])
writer.rows("sites", {{**sites, "site": [0]}})
writer.rows("marks", {{"ts_ns": [1], "text": ["a"]}})
writer.events(batch)
writer.close("complete")
sys.exit("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
